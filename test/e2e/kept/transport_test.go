package kept

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTransport(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(Variable, dir)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Body", string(body))
		_, _ = io.WriteString(w, `{"items":[{"data":{"p":"YW5zd2VyZWQtaW4tYS1saXN0"}}],"status":{"token":"issued-to-an-account"}}`)
	}))
	defer server.Close()
	client := &http.Client{Transport: Transport(http.DefaultTransport)}
	const object = `{"data":{"p":"d3JpdHRlbi1hcy1kYXRh"},"stringData":{"q":"written-as-text"},"spec":{"token":"asked-in-a-review"}}`
	for _, path := range []string{"/api/v1/namespaces/a/secrets", "/api/v1/namespaces/a/secrets/b", "/api/v1/namespaces/a/configmaps"} {
		r, err := http.NewRequest(http.MethodPost, server.URL+path, strings.NewReader(strings.ReplaceAll(object, "asked", "asked"+filepath.Base(filepath.Dir(path)))))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer presented-to-the-server")
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.HasSuffix(string(body), "}}") || !strings.Contains(answer.Header.Get("X-Body"), "written-as-text") {
			t.Errorf("%s: the server got %s, the client %s, %v", path, answer.Header.Get("X-Body"), body, err)
		}
	}
	data, err := os.ReadFile(secrets().Name())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(data)) {
		value, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		got = append(got, string(value))
	}
	slices.Sort(got)
	got = slices.Compact(got)
	want := []string{"answered-in-a-list", "askeda-in-a-review", "askedsecrets-in-a-review", "issued-to-an-account", "presented-to-the-server", "written-as-data", "written-as-text"}
	if !slices.Equal(got, want) {
		t.Errorf("noted %q, want %q", got, want)
	}
}
