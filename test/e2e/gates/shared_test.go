package gates

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// common is the server without any settings that most tests use.
var common struct {
	once   sync.Once
	server *server.Server
	tb     suite
}

// shared returns the server without any settings, which runs until the last
// test has ended.
func shared(t *testing.T) *server.Server {
	t.Helper()
	common.once.Do(func() {
		common.tb.TB = t
		common.server = server.Start(&common.tb, server.Options{Args: []string{"--log-level", "debug"}}) // so that test/leaks has what to look through
	})
	if common.server == nil {
		t.Fatal("the shared server did not start; see the first test that failed")
	}
	return common.server
}

func TestMain(m *testing.M) {
	code := m.Run()
	if code != 0 && common.server != nil {
		text := common.server.Log()
		fmt.Printf("the shared server said, at the end:\n%s\n", text[max(0, len(text)-8000):])
	}
	common.tb.end()
	os.Exit(code)
}

// suite is a testing.TB whose cleanups run when the whole package has been
// tested. Of the test that happened to come first it uses only the ability to
// fail it.
type suite struct {
	testing.TB
	cleanups []func()
}

func (s *suite) Cleanup(f func())    { s.cleanups = append(s.cleanups, f) }
func (s *suite) Failed() bool        { return false } // TestMain prints the log
func (s *suite) Logf(string, ...any) {}

func (s *suite) end() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}
