package authn

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

const (
	// soon is how long a change may take to be in force. A second is promised;
	// the rest is for a machine that also compiles.
	soon = 5 * time.Second

	// afterReload is how long new issuers may take: upstream looks every ten
	// seconds whether the providers have answered.
	afterReload = 40 * time.Second

	// afterCache is how long a token that was good may stay so: upstream keeps
	// the answers of its token authenticators for ten seconds.
	afterCache = 15 * time.Second
)

// whoAmI asks the server whom it takes the client for.
func whoAmI(ctx context.Context, t testing.TB, config *rest.Config) (authenticationv1.UserInfo, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	review, err := server.Client(t, config).AuthenticationV1().SelfSubjectReviews().
		Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	return review.Status.UserInfo, nil
}

// passesAs checks that the server takes the client for this user, in these
// groups among others.
func passesAs(t testing.TB, config *rest.Config, user string, groups ...string) authenticationv1.UserInfo {
	t.Helper()
	who, err := isTakenFor(t.Context(), t, config, user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// soonPassesAs is passesAs for a change that takes a moment.
func soonPassesAs(t testing.TB, limit time.Duration, config *rest.Config, user string, groups ...string) {
	t.Helper()
	logLatency(t, "let in", func() {
		server.Eventually(t, limit, func(ctx context.Context) error {
			_, err := isTakenFor(ctx, t, config, user, groups...)
			return err
		})
	})
}

func isTakenFor(ctx context.Context, t testing.TB, config *rest.Config, user string, groups ...string) (authenticationv1.UserInfo, error) {
	t.Helper()
	who, err := whoAmI(ctx, t, config)
	if err != nil {
		return who, fmt.Errorf("%s is not let in: %w", user, err)
	}
	if who.Username != user {
		return who, fmt.Errorf("let in as %q, want %q", who.Username, user)
	}
	for _, group := range append(groups, "system:authenticated") {
		if !slices.Contains(who.Groups, group) {
			return who, fmt.Errorf("%s is in %v, want %s among them", user, who.Groups, group)
		}
	}
	return who, nil
}

// refused checks that the credential is refused with 401, that the request is in
// the audit log as such, and that the server's log says why ("" for a credential
// that simply nobody knows).
func (g *gatehouse) refused(t testing.TB, config *rest.Config, why string) auditv1.Event {
	t.Helper()
	mark := len(g.Log())
	config = rest.CopyConfig(config)
	config.UserAgent = uniqueName("refused")
	who, err := whoAmI(t.Context(), t, config)
	if err == nil {
		t.Fatalf("let in as %s, want a refusal (%s)", who.Username, why)
	}
	if !apierrors.IsUnauthorized(err) {
		t.Fatalf("want status 401, have %v", err)
	}
	if why != "" {
		g.awaitLog(t, mark, why)
	}
	return g.auditEvent(t, config.UserAgent)
}

// soonRefused checks that a credential that still may be good stops being so.
func soonRefused(t testing.TB, limit time.Duration, config *rest.Config) {
	t.Helper()
	logLatency(t, "refused", func() {
		server.Eventually(t, limit, func(ctx context.Context) error {
			who, err := whoAmI(ctx, t, config)
			if err == nil {
				return fmt.Errorf("%s is still let in", who.Username)
			}
			if !apierrors.IsUnauthorized(err) {
				return fmt.Errorf("want status 401, have %w", err)
			}
			return nil
		})
	})
}

// auditEvent is the event of the refused request with this user agent.
func (g *gatehouse) auditEvent(t testing.TB, userAgent string) (event auditv1.Event) {
	t.Helper()
	server.Eventually(t, soon, func(context.Context) error {
		lines := g.AuditEvents(t, `"`+userAgent+`"`, `"code":401`)
		if len(lines) == 0 {
			return fmt.Errorf("no audit event of %s with code 401", userAgent)
		}
		return json.Unmarshal([]byte(lines[0]), &event)
	})
	if user := event.User.Username; user != "" {
		t.Errorf("the audit event of a refused request has the user %q", user)
	}
	return event
}

// reviewToken asks the server, as its administrator, what it makes of a token.
func (g *gatehouse) reviewToken(t testing.TB, token string) authenticationv1.TokenReviewStatus {
	t.Helper()
	present(token)
	review, err := g.Admin(t).AuthenticationV1().TokenReviews().Create(t.Context(),
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status
}

func logLatency(t testing.TB, what string, f func()) {
	t.Helper()
	begun := time.Now()
	f()
	t.Logf("%s after %v", what, time.Since(begun).Round(time.Millisecond))
}

// awaitLog waits until the server has said a text, after the mark.
func (g *gatehouse) awaitLog(t testing.TB, mark int, text string) {
	t.Helper()
	server.Eventually(t, soon, func(context.Context) error {
		if said := g.Log()[mark:]; !strings.Contains(said, text) {
			return fmt.Errorf("the log does not say %q but:\n%s", text, said)
		}
		return nil
	})
}
