package revocation

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// claims are what a JSON Web Token says of itself that rules ask for.
type claims struct {
	// issuedAt is the iat claim; zero where there is none, or more than one.
	issuedAt time.Time

	// ids are the values of the jti claim. More than one is not valid JSON for
	// most readers, and then each counts as revoked where one is.
	ids []string
}

// maxNumericDate is the last second of the year 9999.
const maxNumericDate = 253402300799

// readClaims reads a token's claims without checking its signature. Anything
// but a JSON Web Token in compact form gives none. Names are matched exactly:
// encoding/json would take a claim called "IAT" for iat, which some issuers let
// their users set.
func readClaims(token string) claims {
	header, rest, ok := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || header == "" || strings.Contains(signature, ".") {
		return claims{}
	}
	data, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || !json.Valid(data) {
		return claims{}
	}
	var c claims
	times := 0
	members(data, func(name, value []byte) {
		// A name may be written with escapes; one with none, as all issuers write
		// it, is compared as it stands.
		var unescaped string
		if bytes.IndexByte(name, '\\') >= 0 && json.Unmarshal(name, &unescaped) == nil {
			name = []byte(`"` + unescaped + `"`)
		}
		switch string(name) {
		case `"iat"`:
			times++
			c.issuedAt = numericDate(string(value))
		case `"jti"`:
			var id string
			if json.Unmarshal(value, &id) == nil && id != "" {
				c.ids = append(c.ids, id)
			}
		}
	})
	if times != 1 {
		c.issuedAt = time.Time{}
	}
	return c
}

// members gives each member of a JSON object, name and value as written. The
// text must be valid JSON; for anything but an object there are no members.
func members(data []byte, each func(name, value []byte)) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' {
		return
	}
	var name []byte
	start, depth := 1, 0
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case ':':
			if depth == 0 {
				name, start = bytes.TrimSpace(data[start:i]), i+1
			}
		case '}', ']', ',':
			if depth == 0 && name != nil {
				each(name, bytes.TrimSpace(data[start:i]))
				name, start = nil, i+1
			}
			if data[i] != ',' {
				depth--
			}
		}
	}
}

// numericDate reads a NumericDate (RFC 7519, section 2): seconds since 1970,
// with or without a fraction. Anything else is the zero time.
func numericDate(s string) time.Time {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= maxNumericDate) {
		return time.Time{}
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9))
}
