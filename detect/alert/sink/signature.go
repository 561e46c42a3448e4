package sink

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Headers of a signed message.
const (
	// TimestampHeader is when it was signed: seconds since 1970.
	TimestampHeader = "Gatehouse-Timestamp"
	// SignatureHeader has a signature for each key, separated by commas: v1= and
	// HMAC-SHA256, in lower-case hexadecimal, over the timestamp, a dot and the body.
	SignatureHeader = "Gatehouse-Signature"
)

// shortestKey is how many bytes a key has at least.
const shortestKey = 16

func mac(key []byte, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(timestamp + "."))
	h.Write(body)
	return h.Sum(nil)
}

func sign(header http.Header, keys [][]byte, body []byte, now time.Time) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for _, key := range keys {
		signatures = append(signatures, "v1="+hex.EncodeToString(mac(key, timestamp, body)))
	}
	header.Set(TimestampHeader, timestamp)
	header.Set(SignatureHeader, strings.Join(signatures, ","))
}

// Verify returns nil where a message was signed with one of the keys, not longer ago than
// tolerance, and not in the future by more than that. body is what was received, byte for
// byte. Five minutes are a good tolerance; within it, remember the ids of alerts to tell a
// message that somebody sends again.
func Verify(header http.Header, body []byte, keys [][]byte, now time.Time, tolerance time.Duration) error {
	timestamp := header.Get(TimestampHeader)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errors.New("verify message: it has no timestamp")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age.Abs() > tolerance {
		return errors.New("verify message: its timestamp is too far from now")
	}
	for signature := range strings.SplitSeq(header.Get(SignatureHeader), ",") {
		text, ok := strings.CutPrefix(strings.TrimSpace(signature), "v1=")
		if !ok {
			continue
		}
		given, err := hex.DecodeString(text)
		if err != nil {
			continue
		}
		for _, key := range keys {
			if len(key) >= shortestKey && hmac.Equal(given, mac(key, timestamp, body)) {
				return nil
			}
		}
	}
	return errors.New("verify message: no signature is of a key that is known")
}

// keys reads the keys of a file, one a line.
func keys(file string) ([][]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var all [][]byte
	for line := range bytes.Lines(data) {
		key := bytes.TrimRight(line, "\r\n")
		switch {
		case len(key) == 0:
		case len(key) < shortestKey:
			return nil, fmt.Errorf("read keys: a key in %s has fewer than %d bytes; make one with: openssl rand -hex 32", file, shortestKey)
		default:
			all = append(all, key)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read keys: %s is empty; make a key with: openssl rand -hex 32", file)
	}
	return all, nil
}

// mark tells one secret text from another, and nothing of it.
func mark(text string) string {
	sum := sha256.Sum256([]byte("gatehouse sink\n" + text))
	return hex.EncodeToString(sum[:4])
}
