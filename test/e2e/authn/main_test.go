package authn

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
)

// run ends with the test program, not with the test that happened to be first.
var run = &wholeRun{}

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && run.started != nil {
		if leak := run.started.leakedToken(); leak != "" {
			fmt.Fprintln(os.Stderr, "FAIL:", leak)
			code = 1
		}
	}
	run.end(code != 0)
	os.Exit(code)
}

// wholeRun is the testing.TB that the shared server is started with.
type wholeRun struct {
	testing.TB // nil: what is not below is not called

	started  *gatehouse
	failed   bool
	cleanups []func()
}

func (r *wholeRun) Helper()                      {}
func (r *wholeRun) Failed() bool                 { return r.failed }
func (r *wholeRun) Cleanup(f func())             { r.cleanups = append(r.cleanups, f) }
func (r *wholeRun) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (r *wholeRun) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// Logf shows the end of what there is to say: the server's log is long.
func (r *wholeRun) Logf(f string, args ...any) {
	text := fmt.Sprintf(f, args...)
	fmt.Fprintln(os.Stderr, text[max(0, len(text)-8000):])
}

func (r *wholeRun) end(failed bool) {
	r.failed = failed
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

// presented are the bearer tokens the tests have sent, which nothing may write down.
var presented struct {
	sync.Mutex
	tokens map[string]bool
}

func present(token string) {
	kept.Secret(token)
	presented.Lock()
	defer presented.Unlock()
	if presented.tokens == nil {
		presented.tokens = map[string]bool{}
	}
	presented.tokens[token] = true
}

// leakedToken says where a token that was presented can be read, or "".
func (g *gatehouse) leakedToken() string {
	audit, err := os.ReadFile(g.Path("audit", "audit.log"))
	if err != nil {
		return err.Error()
	}
	for token := range presented.tokens {
		secret := token
		// Of a JSON Web Token the signature is what makes it one.
		if i := strings.LastIndex(token, "."); i >= 0 {
			secret = token[i+1:]
		}
		if len(secret) < 8 {
			continue
		}
		if strings.Contains(g.Log(), secret) {
			return "the server's log holds a token: …" + secret[len(secret)-8:]
		}
		if strings.Contains(string(audit), secret) {
			return "the audit log holds a token: …" + secret[len(secret)-8:]
		}
	}
	return ""
}
