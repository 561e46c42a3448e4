package plaintext_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy/plaintext"
)

// made is a credential's form, put together here so that no file of the source holds
// anything that looks like one.
func made(parts ...string) string { return strings.Join(parts, "") }

var (
	letters = "aZ3kQ9xL0pWm7RtY2bVc"
	github  = made("ghp", "_", checked(letters+"Hs8dJ4fGe6"))
)

// checked is a text with the checksum that GitHub's tokens end with.
func checked(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := crc32.ChecksumIEEE([]byte(text))
	end := make([]byte, 6)
	for i := 5; i >= 0; i-- {
		end[i] = digits[sum%62]
		sum /= 62
	}
	return text + string(end)
}

func privateKey() string {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestKnownForms(t *testing.T) {
	for what, text := range map[string]string{
		"a GitHub token":       github,
		"a GitLab token":       made("glpat", "-", letters),
		"an AWS access key":    made("aws_access_key_id = AK", "IAQ3EGR5TYUIOPLKJH", "\naws_secret_access_key = ", letters, letters, "\n"),
		"a Google API key":     made("AI", "zaSyD", letters, "Hs8dJ4fGe6Nu"),
		"a Stripe key":         made("sk", "_live_", letters),
		"a private key":        privateKey(),
		"a password in a URL":  made("postgres://app:", letters, "@db.example.org/shop"),
		"a JSON Web Token":     made("ey", "JhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.ey", "JzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"),
		"a DigitalOcean token": made("dop", "_v1_", strings.Repeat("0a1b2c3d", 8)),
		"a Hugging Face token": made("hf", "_", strings.Repeat("aBcDeFgHiJ", 3), "kLmN"),
		"an Anthropic API key": made("sk", "-ant-api03-", letters, letters),
		"a RubyGems key":       made("rubygems", "_", strings.Repeat("0a1b2c3d4e5f", 4)),
		"a value that looks generated, under a name for secrets": "db.password = x7Kq2Lm9Zt4Wp8Rv\n",
	} {
		t.Run(what, func(t *testing.T) {
			text := "first line\n  x: " + text
			found := plaintext.Find("settings", []byte(text), plaintext.Options{})
			if len(found) == 0 {
				t.Fatal("nothing is found")
			}
			if f := found[0]; f.What != what || f.Line < 2 || f.Column < 6 {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestOrdinaryTextIsNoCredential(t *testing.T) {
	for name, text := range map[string]string{
		"nginx.conf":    "server { listen 80; location / { proxy_pass http://web.shop.svc.cluster.local:8080; } }",
		"IMAGE":         "registry.example.org/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"id":            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
		"token_url":     "https://login.example.org/oauth2/token",
		"password":      "changeme-please-now",
		"secretName":    "database-credentials",
		"passwordFile":  "/var/run/secrets/database/password",
		"DATABASE_URL":  "postgres://app:$(PASSWORD)@db:5432/shop",
		"GIT":           "ssh://git@example.org/shop.git",
		"text":          strings.Repeat("The token is in the vault, and the password with it. ", 40),
		"tls.crt":       "-----BEGIN CERTIFICATE-----\n" + strings.Repeat("MIIBszCCAVmgAwIBAgIUE\n", 8) + "-----END CERTIFICATE-----\n",
		"settings.json": `{"password": {"secretKeyRef": {"name": "db", "key": "password"}}, "tokenTTL": "15m0s"}`,
		"application":   "spring.datasource.password=${DB_PASSWORD}\nauth.token={{ .Values.token }}\n",
		"id_rsa.pub":    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 user@example.org",
	} {
		if found := plaintext.Find(name, []byte(text), plaintext.Options{}); len(found) > 0 {
			t.Errorf("%s: found %+v", name, found)
		}
	}
}

func TestKnownFormsOnly(t *testing.T) {
	const text = "db.password = x7Kq2Lm9Zt4Wp8Rv\n"
	if found := plaintext.Find("a", []byte(text), plaintext.Options{KnownFormsOnly: true}); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
}

// No finding tells anything of what was found, whatever the text.
func FuzzFind(f *testing.F) {
	f.Add("password", "x7Kq2Lm9Zt4Wp8Rv")
	f.Add("a", github)
	f.Add("a", "\xff\xfe"+github)
	f.Add("TOKEN", strings.Repeat("aB3$", 2000))
	f.Fuzz(func(t *testing.T, name, text string) {
		for _, found := range plaintext.Find(name, []byte(text), plaintext.Options{}) {
			lines := strings.Split(text, "\n")
			if found.Line < 1 || found.Line > len(lines) || found.Column < 1 || found.Column > len(lines[found.Line-1])+1 {
				t.Fatalf("found at %d:%d of %q", found.Line, found.Column, text)
			}
			said := fmt.Sprint(found.What)
			for i := 0; i+6 <= len(text); i++ {
				if piece := text[i : i+6]; strings.Contains(said, piece) && !strings.Contains(" a value that looks generated, under a name for secrets an HTTP bearer token credentials in a URL password ", piece) && len(strings.Fields(piece)) == 1 && strings.ContainsAny(piece, "0123456789") {
					t.Fatalf("the finding %q repeats %q", said, piece)
				}
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	for name, text := range map[string]string{
		"1KiB": strings.Repeat("server.port = 8080\nlog.level = info\n", 29),
		"1MiB": strings.Repeat("server.port = 8080\nlog.level = info\n", 29<<10),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				plaintext.Find("application.properties", []byte(text), plaintext.Options{})
			}
		})
	}
}
