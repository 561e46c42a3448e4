package authn

import (
	"crypto"
	"encoding/json"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// claimsOf reads the claims of a JSON Web Token.
func claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	parsed, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// resign makes a token of the same header and claims, with some changed, under
// another signature.
func resign(t testing.TB, token string, key crypto.Signer, changed map[string]any) string {
	t.Helper()
	claims := claimsOf(t, token)
	for name, value := range changed {
		claims[name] = value
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: parsed.Signatures[0].Header.KeyID}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	again, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	present(again)
	return again
}

// hoursAgo is a time claim.
func hoursAgo(n int) int64 { return time.Now().Add(-time.Duration(n) * time.Hour).Unix() }
