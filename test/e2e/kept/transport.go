package kept

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
)

// Transport notes the secrets of a client's requests and answers: bearer tokens, values
// of Secrets that are written and read, and tokens that are issued.
func Transport(next http.RoundTripper) http.RoundTripper {
	if os.Getenv(Variable) == "" {
		return next
	}
	return &noting{next}
}

type noting struct{ next http.RoundTripper }

// WrappedRoundTripper lets client-go find the transport below.
func (n *noting) WrappedRoundTripper() http.RoundTripper { return n.next }

func (n *noting) RoundTrip(r *http.Request) (*http.Response, error) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		Secret(token)
	}
	if !secretive(r.URL.Path) {
		return n.next.RoundTrip(r)
	}
	if r.Body != nil && isJSON(r.Header) {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		note(body)
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	answer, err := n.next.RoundTrip(r)
	if err != nil || r.URL.Query().Get("watch") != "" || !isJSON(answer.Header) {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	note(body)
	answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	return answer, nil
}

// failing ends a body as the one that was read ended.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

func secretive(path string) bool {
	return strings.Contains(path+"/", "/secrets/") || strings.HasSuffix(path, "/token") || strings.HasSuffix(path, "/tokenreviews")
}

func isJSON(h http.Header) bool {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (strings.HasSuffix(media, "json") || media == "application/apply-patch+yaml")
}

// note finds the values in an object, a list or a merge patch. What is none of these
// has none.
func note(body []byte) {
	type object struct {
		Data       map[string][]byte `json:"data"`
		StringData map[string]string `json:"stringData"`
		Spec       struct {
			Token string `json:"token"`
		} `json:"spec"`
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	var list struct {
		object
		Items []object `json:"items"`
	}
	if json.Unmarshal(body, &list) != nil {
		return
	}
	for _, o := range append(list.Items, list.object) {
		for _, value := range o.Data {
			Secret(string(value))
		}
		for _, value := range o.StringData {
			Secret(value)
		}
		Secret(o.Spec.Token)
		Secret(o.Status.Token)
	}
}
