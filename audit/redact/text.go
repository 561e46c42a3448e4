package redact

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
)

// message redacts the message of a response to a request about s. Answers to what was
// wrong with a body may quote it; those about permissions, names and conflicts do not.
func message(text string, code int32, s subject) string {
	if text == "" || IsMarker(text) {
		return text
	}
	if s.sensitive() {
		switch code {
		case http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests,
			http.StatusMethodNotAllowed, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		case http.StatusForbidden:
			if !strings.Contains(text, " cannot ") {
				return s.why() // an admission plugin, in words of its own
			}
		default:
			return s.why()
		}
	}
	// Decoders of servers before Kubernetes 1.23 quote the body around a fault.
	for _, quote := range []string{"error found in #", "bigger context ..."} {
		if at := strings.Index(text, quote); at >= 0 {
			text = text[:at] + whyUnreadable
		}
	}
	return scrub(text)
}

// suspicious reports whether a text of an object may hold a key or a token. It is cheap.
func suspicious(text []byte) bool {
	return len(text) >= 16 && (bytes.Contains(text, []byte("PRIVATE KEY")) || bytes.Contains(text, []byte("eyJ")) ||
		bytes.Contains(text, []byte(pemInBase64)) || len(text) >= len("kind:Secret") && bytes.Contains(text, []byte("Secret")) && holdsManifest(string(text)))
}

// scrubKeys takes private keys and tokens out of a text of an object, and nothing that a
// spec may rightly say.
func scrubKeys(text string) string {
	if holdsManifest(text) {
		return whyEmbedded
	}
	return webTokens(privateKeys(text))
}

// scrub takes everything that looks like a credential out of a text that people or
// programs have written: a message, a user agent, an annotation.
func scrub(text string) string {
	if len(text) < 8 {
		return text
	}
	// Most texts have none of the letters without which there is nothing to find.
	if strings.IndexByte(text, 'J') >= 0 || strings.IndexByte(text, 'K') >= 0 {
		text = webTokens(privateKeys(text))
	}
	text = bootstrapTokens(text)
	if mayNameScheme(text) {
		text = afterWord(text, "earer ")
		text = afterWord(text, "asic ")
	}
	return userInfo(text)
}

// holdsManifest reports whether a text holds a Secret as YAML or JSON, which is not read
// where texts of any kind may be.
func holdsManifest(text string) bool {
	for rest := text; ; {
		at := strings.Index(rest, "kind")
		if at < 0 {
			return false
		}
		rest = rest[at+len("kind"):]
		value := strings.TrimLeft(rest, `"'\ `)
		if value, ok := strings.CutPrefix(value, ":"); ok {
			value = strings.TrimLeft(value, `"'\ `)
			if strings.HasPrefix(value, "Secret") && strings.Contains(strings.ToLower(text), "data") {
				return true
			}
		}
	}
}

const (
	pemBegin    = "-----BEGIN "
	pemEnd      = "-----END "
	pemInBase64 = "LS0tLS1CRUdJTi" // -----BEGIN
	// certificateInBase64 begins a certificate, as a caBundle is.
	certificateInBase64 = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS"
)

// privateKeys takes private keys in PEM out of a text, also where all of it is base64.
func privateKeys(text string) string {
	if strings.Contains(text, pemInBase64) && base64HoldsKey(text) {
		return whyPrivateKey
	}
	if !strings.Contains(text, "PRIVATE KEY") {
		return text
	}
	var out strings.Builder
	for {
		at := strings.Index(text, "PRIVATE KEY")
		if at < 0 {
			return out.String() + text
		}
		begin := strings.LastIndex(text[:at], pemBegin)
		if begin < 0 {
			out.WriteString(text[:at+len("PRIVATE KEY")]) // a text about keys
			text = text[at+len("PRIVATE KEY"):]
			continue
		}
		out.WriteString(text[:begin] + whyPrivateKey)
		rest := text[at+len("PRIVATE KEY"):]
		end := strings.Index(rest, pemEnd)
		if end < 0 {
			return out.String() // it was cut short
		}
		rest = rest[end+len(pemEnd):]
		if close := strings.Index(rest, "-----"); close >= 0 {
			text = rest[close+len("-----"):]
		} else {
			return out.String()
		}
	}
}

// base64HoldsKey reports whether a text that holds PEM in base64 may hold a private key.
func base64HoldsKey(text string) bool {
	compact := strings.NewReplacer("\n", "", "\r", "", " ", "").Replace(text)
	decoded, err := base64.StdEncoding.DecodeString(compact)
	if err != nil {
		// Other text stands around it, or it was cut: only a certificate alone is believed.
		return strings.Count(text, pemInBase64) != strings.Count(text, certificateInBase64)
	}
	return bytes.Contains(decoded, []byte("PRIVATE KEY"))
}

func isTokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '='
}

// webTokens takes JSON web tokens out of a text: two parts that begin as JSON objects do
// in base64, and what follows them.
func webTokens(text string) string {
	for from := 0; ; {
		at := strings.Index(text[from:], "eyJ")
		if at < 0 {
			return text
		}
		at += from
		end, dots := at, 0
		for end < len(text) && (isTokenChar(text[end]) || text[end] == '.' || text[end] == '+' || text[end] == '/') {
			if text[end] == '.' {
				dots++
			}
			end++
		}
		// An encrypted one has five parts, of which only the first begins so.
		if dots < 1 || end-at < 20 {
			from = max(end, at+3)
			continue
		}
		text = text[:at] + whyToken + text[end:]
		from = at + len(whyToken)
	}
}

// bootstrapTokens takes bootstrap tokens out of a text: six letters or digits, a dot and
// sixteen.
func bootstrapTokens(text string) string {
	const id, key = 6, 16
	letter := func(i int) bool {
		return i >= 0 && i < len(text) && ('a' <= text[i] && text[i] <= 'z' || '0' <= text[i] && text[i] <= '9')
	}
	for dot := id; dot+key < len(text); dot++ {
		next := strings.IndexByte(text[dot:], '.')
		if next < 0 {
			break
		}
		if dot += next; dot+key >= len(text) {
			break
		}
		ok := !letter(dot-id-1) && !letter(dot+key+1)
		for i := dot - id; ok && i <= dot+key; i++ {
			ok = i == dot || letter(i)
		}
		if ok {
			text = text[:dot-id] + whyToken + text[dot+key+1:]
		}
	}
	return text
}

// mayNameScheme reports whether a text may hold what afterWord looks for: a word before a
// space that ends as bearer and basic do.
func mayNameScheme(text string) bool {
	for from := 0; ; {
		space := strings.IndexByte(text[from:], ' ')
		if space < 0 {
			return false
		}
		from += space + 1
		if from >= 2 {
			if c := text[from-2] | 0x20; c == 'r' || c == 'c' {
				return true
			}
		}
	}
}

// afterWord takes out what follows a scheme of HTTP authentication, in any letters. word
// is the scheme without its first letter.
func afterWord(text, word string) string {
	for from := 0; ; {
		at := indexFold(text[from:], word)
		if at < 0 {
			return text
		}
		begin := from + at + len(word)
		end := begin
		for end < len(text) && text[end] != ' ' && text[end] != '"' && text[end] != '\'' && text[end] != ',' && text[end] != '\n' {
			end++
		}
		const least = 12 // shorter is a word: bearer token, basic auth
		if end-begin < least || IsMarker(text[begin:end]) {
			from = end
			continue
		}
		text = text[:begin] + whyToken + text[end:]
		from = begin + len(whyToken)
	}
}

// indexFold is where a word that ends with a space is, in any letters; -1 for nowhere. Of a
// text it looks at what is in front of spaces, of which there are few.
func indexFold(text, word string) int {
	last := word[len(word)-2] // a letter that is no other one's in any alphabet
	for from := 0; ; {
		space := strings.IndexByte(text[from:], ' ')
		if space < 0 {
			return -1
		}
		from += space + 1
		if begin := from - len(word); begin >= 0 && text[from-2]|0x20 == last && strings.EqualFold(text[begin:from], word) {
			return begin
		}
	}
}

// userInfo takes passwords out of the user information of URLs in a text.
func userInfo(text string) string {
	for from := 0; ; {
		at := strings.Index(text[from:], "://")
		if at < 0 {
			return text
		}
		begin := from + at + len("://")
		end := begin
		for end < len(text) && !strings.ContainsRune(" /?#\"'\n\\", rune(text[end])) {
			end++
		}
		host := strings.LastIndexByte(text[begin:end], '@')
		if host >= 0 {
			user, password, ok := strings.Cut(text[begin:begin+host], ":")
			if ok && password != "" && !IsMarker(password) {
				is := user + ":" + whyCredential
				text = text[:begin] + is + text[begin+host:]
				end = begin + len(is)
			}
		}
		from = max(end, begin)
	}
}

// Text takes private keys, tokens and passwords in URLs out of a text that people or
// programs have written.
func Text(text string) string { return scrub(text) }
