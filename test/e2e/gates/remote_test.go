package gates

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// remote is a webhook service over HTTPS.
type remote struct{ *httptest.Server }

// answering starts a service that decodes each request into a T, lets answer
// fill it in, and sends it back.
func answering[T any](t *testing.T, answer func(*T)) remote {
	t.Helper()
	s := remote{httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		review := new(T)
		if err := json.NewDecoder(r.Body).Decode(review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(review)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))}
	t.Cleanup(s.Close)
	return s
}

// ca is what a client needs to believe the service, as PEM.
func (s remote) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// kubeconfig writes a kubeconfig that names the service and returns its path.
func (s remote) kubeconfig(t *testing.T) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["remote"] = &clientcmdapi.Cluster{Server: s.URL, CertificateAuthorityData: s.ca()}
	config.AuthInfos["server"] = &clientcmdapi.AuthInfo{}
	config.Contexts["remote"] = &clientcmdapi.Context{Cluster: "remote", AuthInfo: "server"}
	config.CurrentContext = "remote"
	path := filepath.Join(t.TempDir(), "remote.kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// file writes a settings file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	replace(t, path, text)
	return path
}

// replace puts a file in place as careful programs do: written whole beside it,
// then renamed.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
