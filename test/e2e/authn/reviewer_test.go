package authn

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
)

// reviewer is a token review service. It knows one token.
type reviewer struct {
	url, ca string

	// down makes it hang up on every request.
	down atomic.Bool
	// asked is how many tokens it was asked about.
	asked atomic.Int64
}

const reviewedToken = "a-token-that-the-reviewer-knows"

func newReviewer(t testing.TB) *reviewer {
	r := &reviewer{}
	srv := httptest.NewTLSServer(http.HandlerFunc(r.review))
	t.Cleanup(srv.Close)
	r.url, r.ca = srv.URL, string(certPEM(srv.Certificate()))
	return r
}

func (r *reviewer) review(w http.ResponseWriter, req *http.Request) {
	if r.down.Load() {
		panic(http.ErrAbortHandler)
	}
	r.asked.Add(1)
	var review authenticationv1.TokenReview
	if err := json.NewDecoder(req.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if review.Spec.Token == reviewedToken {
		review.Status = authenticationv1.TokenReviewStatus{
			Authenticated: true,
			User:          authenticationv1.UserInfo{Username: "reviewed:rosa", UID: "r-1", Groups: []string{"reviewed:ops"}},
		}
	}
	review.Spec.Token = ""
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(&review)
}

func (r *reviewer) kubeconfig() string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Config
clusters: [{name: reviewer, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: gatehouse}]
contexts: [{name: reviewer, context: {cluster: reviewer, user: gatehouse}}]
current-context: reviewer
`, r.url, base64Text(r.ca))
}
