package detect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// alertmanager is Prometheus' Alertmanager, running.
type alertmanager struct{ url string }

// told is an alert as Alertmanager has it.
type told struct {
	Labels, Annotations map[string]string
	EndsAt              time.Time
}

func startAlertmanager(t *testing.T) *alertmanager {
	t.Helper()
	return startAlertmanagerAt(t, server.FreeAddress(t))
}

func startAlertmanagerAt(t *testing.T, address string) *alertmanager {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		if path, err = exec.LookPath("alertmanager"); err != nil {
			t.Skip("no Alertmanager; on Debian: apt-get install prometheus-alertmanager")
		}
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	must(t, os.WriteFile(config, []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"), 0o600))
	program := exec.Command(path, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=", "--log.level=error")
	var said bytes.Buffer
	program.Stderr = &said
	must(t, program.Start())
	t.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
		if t.Failed() && said.Len() > 0 {
			t.Logf("Alertmanager said:\n%s", said.String())
		}
	})
	m := &alertmanager{"http://" + address}
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := m.alerts(ctx, "none")
		return err
	})
	return m
}

// alerts are those of a rule that are not over.
func (m *alertmanager) alerts(ctx context.Context, rule string) (all []told, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/api/v2/alerts?active=true&filter="+url.QueryEscape(fmt.Sprintf("alertname=%q", rule)), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("Alertmanager answers %s", response.Status)
	}
	return all, json.NewDecoder(response.Body).Decode(&all)
}

// await waits for an alert of a rule whose summary or message has a text, and tells how
// long that was.
func (m *alertmanager) await(t *testing.T, rule, has string) (told, time.Duration) {
	t.Helper()
	begun := time.Now()
	for deadline := begun.Add(patience); ; time.Sleep(5 * time.Millisecond) {
		all, err := m.alerts(t.Context(), rule)
		must(t, err)
		for _, a := range all {
			if a.mentions(has) {
				return a, time.Since(begun)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("within %v no alert of %s mentions %s: %+v", patience, rule, has, all)
		}
	}
}

func (a *told) mentions(text string) bool {
	for _, in := range a.Annotations {
		if bytes.Contains([]byte(in), []byte(text)) {
			return true
		}
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
