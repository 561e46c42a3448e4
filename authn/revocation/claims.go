package revocation

import (
	"encoding/base64"
	"encoding/json"
	"io"
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
	if err != nil {
		return claims{}
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return claims{}
	}
	var c claims
	times := 0
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return claims{}
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return claims{}
		}
		switch name {
		case "iat":
			times++
			c.issuedAt = numericDate(string(value))
		case "jti":
			var id string
			if json.Unmarshal(value, &id) == nil && id != "" {
				c.ids = append(c.ids, id)
			}
		}
	}
	if _, err := dec.Token(); err != nil {
		return claims{}
	}
	if _, err := dec.Token(); err != io.EOF {
		return claims{}
	}
	if times != 1 {
		c.issuedAt = time.Time{}
	}
	return c
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
