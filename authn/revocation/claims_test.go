package revocation

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestReadClaims(t *testing.T) {
	for token, want := range map[string]string{
		jwt(`{"iat":100,"jti":"x"}`):                                 "100 [x]",
		jwt(`{"iat":100.25}`):                                        "100.25 []",
		jwt(`{"iat":1e2,"sub":{"iat":5,"jti":"inner"}}`):             "100 []",
		jwt(`{"IAT":100,"Jti":"x"}`):                                 "none []",
		jwt(`{"iat":100,"iat":100}`):                                 "none []",
		jwt(`{"iat":null,"jti":null}`):                               "none []",
		jwt(`{"iat":-1,"jti":7}`):                                    "none []",
		jwt(`{"iat":1e300}`):                                         "none []",
		jwt(`{"iat":true,"jti":""}`):                                 "none []",
		jwt(`{"jti":"a","jti":"b"}`):                                 "none [a b]",
		jwt(`{"j\u0074i":"a\"},","x":[{"jti":1},"]"] , "iat" : 7 }`): "7 [a\"},]",
		jwt(`{"jti":"a"} {}`):                                        "none []",
		jwt(`{"jti":"a"`):                                            "none []",
		jwt(`["jti","a"]`):                                           "none []",
		jwt(``):                                                      "none []",
		"":                                                           "none []",
		"..":                                                         "none []",
		"a.b":                                                        "none []",
		"a.!.c":                                                      "none []",
		jwt(`{"jti":"a"}`) + ".five.parts":                           "none []",
		"abcdef.0123456789abcdef":                                    "none []",
		strings.Replace(jwt(`{"jti":"a"}`), ".", "", 1):          "none []",
		jwt(`{"a":` + strings.Repeat("[", 20000) + `,"jti":"a"`): "none []",
	} {
		c := readClaims(token)
		got := "none"
		if !c.issuedAt.IsZero() {
			got = fmt.Sprint(float64(c.issuedAt.UnixMilli()) / 1000)
		}
		if got = fmt.Sprint(got, " ", c.ids); got != want {
			t.Errorf("%.60s: got %s, want %s", token, got, want)
		}
	}
}

// FuzzReadClaims holds that no token makes the reader panic, and that it agrees
// with encoding/json wherever names are not repeated or spelled otherwise.
func FuzzReadClaims(f *testing.F) {
	for _, seed := range []string{`{"iat":100,"jti":"x"}`, `{"iat":1.5}`, `{`, ``, `[]`, `{"jti":"\u00e9"}`, `{"iat":253402300800}`, `{"a":{"b":[1,{"jti":"q\\\""}]},"\u006ati":"x","iat":7,"":"}"}`, `{}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		readClaims(data)
		c := readClaims("h." + base64.RawURLEncoding.EncodeToString([]byte(data)) + ".s")
		var all map[string]json.RawMessage
		if json.Unmarshal([]byte(data), &all) != nil || all == nil {
			if len(c.ids) > 0 || !c.issuedAt.IsZero() {
				t.Fatalf("claims %v of what is no JSON object: %q", c, data)
			}
			return
		}
		var id string
		if json.Unmarshal(all["jti"], &id) == nil && id != "" && (len(c.ids) == 0 || c.ids[len(c.ids)-1] != id) {
			t.Fatalf("jti %q is not among %q", id, c.ids)
		}
		var seconds float64
		if !c.issuedAt.IsZero() {
			if json.Unmarshal(all["iat"], &seconds) != nil || c.issuedAt.After(time.Unix(int64(seconds)+1, 0)) || c.issuedAt.Unix() > int64(seconds) {
				t.Fatalf("iat is %s, but the reader says %v", all["iat"], c.issuedAt)
			}
		}
	})
}
