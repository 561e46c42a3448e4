package server

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
)

// Alertmanager is that of Prometheus, running, which notifies nobody.
type Alertmanager struct{ URL string }

// Told is an alert as Alertmanager has it.
type Told struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
}

// StartAlertmanager starts Debian's on an address (FreeAddress) and stops it with the
// test. It skips the test where there is none.
func StartAlertmanager(t *testing.T, address string) *Alertmanager {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		if path, err = exec.LookPath("alertmanager"); err != nil {
			t.Skip("no Alertmanager; on Debian: apt-get install prometheus-alertmanager")
		}
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := exec.Command(path, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=", "--log.level=error")
	var said bytes.Buffer
	program.Stderr = &said
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
		if t.Failed() && said.Len() > 0 {
			t.Logf("Alertmanager said:\n%s", said.String())
		}
	})
	m := &Alertmanager{"http://" + address}
	Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := m.Alerts(ctx, "none")
		return err
	})
	return m
}

// Alerts are those of a rule that are not over.
func (m *Alertmanager) Alerts(ctx context.Context, rule string) (all []Told, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL+"/api/v2/alerts?active=true&filter="+url.QueryEscape(fmt.Sprintf("alertname=%q", rule)), nil)
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
