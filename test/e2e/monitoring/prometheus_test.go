package monitoring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// prometheus is one that runs.
type prometheus struct{ url string }

// run starts a program that ends with the test.
func run(t *testing.T, bin string, args ...string) {
	t.Helper()
	said, err := os.Create(filepath.Join(t.TempDir(), filepath.Base(bin)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	log := io.MultiWriter(said, kept.Log(t, filepath.Base(bin)))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		ended.Stop()
		if t.Failed() {
			data, _ := os.ReadFile(said.Name())
			t.Logf("%s said, at the end:\n%s", filepath.Base(bin), data[max(0, len(data)-4000):])
		}
	})
}

// startPrometheus starts Debian's Prometheus with a configuration.
func startPrometheus(t *testing.T, config string) *prometheus {
	t.Helper()
	bin, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus; test/setup installs it")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "prometheus.yaml"), config)
	address := server.FreeAddress(t)
	run(t, bin, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	p := &prometheus{"http://" + address}
	server.Eventually(t, 30*time.Second, func(context.Context) error {
		resp, err := http.Get(p.url + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		return err
	})
	return p
}

// ask reads an answer of the API.
func (p *prometheus) ask(path string, query url.Values, into any) error {
	resp, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return nil
}

// series is one of an answer, with its last number.
type series struct {
	labels map[string]string
	number float64
}

// query is what an expression gives now, without numbers that are none.
func (p *prometheus) query(expr string) ([]series, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.ask("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	var all []series
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("value %v: %w", r.Value, err)
		}
		if !math.IsNaN(n) {
			all = append(all, series{r.Metric, n})
		}
	}
	return all, nil
}

// ruleState is how a rule fares.
type ruleState struct{ Name, Health, LastError, State, Type string }

// rules are those that are evaluated.
func (p *prometheus) rules() ([]ruleState, error) {
	var data struct{ Groups []struct{ Rules []ruleState } }
	err := p.ask("/api/v1/rules", nil, &data)
	var all []ruleState
	for _, g := range data.Groups {
		all = append(all, g.Rules...)
	}
	return all, err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
