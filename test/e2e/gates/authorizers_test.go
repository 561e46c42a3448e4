package gates

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// decide is a SubjectAccessReview service that has an opinion on a few users:
// friend is allowed everything, foe nothing, and of the rest it does not know.
func decide(review *authorizationv1.SubjectAccessReview) {
	review.Status = authorizationv1.SubjectAccessReviewStatus{}
	switch user := review.Spec.User; {
	case strings.HasPrefix(user, "friend"):
		review.Status.Allowed = true
		review.Status.Reason = "a friend of the house"
	case strings.HasPrefix(user, "foe"):
		review.Status.Denied = true
		review.Status.Reason = "foes stay outside"
	}
}

const abacPolicies = `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"%s","namespace":"*","resource":"configmaps","apiGroup":"*","readonly":true}}
`

// TestAuthorizers shows the webhook and ABAC authorizers and the order of modes.
func TestAuthorizers(t *testing.T) {
	t.Parallel()
	reviews := answering(t, decide)
	abac := file(t, "abac.jsonl", fmt.Sprintf(abacPolicies, "ann"))
	s := server.Start(t, server.Options{Config: fmt.Sprintf(`
authorization:
  modes: [Webhook, ABAC, RBAC]
  abacPolicyFile: %s
  webhookConfigFile: %s
`, abac, reviews.kubeconfig(t))})
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	list := func(user string) error {
		_, err := server.Client(t, s.UserConfig(t, user)).CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{})
		return err
	}
	write := func(user string) error {
		_, err := server.Client(t, s.UserConfig(t, user)).CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", nil), create)
		return err
	}

	t.Run("webhook allows", func(t *testing.T) { passes(t, list("friend")) })
	t.Run("webhook denies and says why", func(t *testing.T) {
		refused(t, list("foe"), apierrors.IsForbidden, `User "foe" cannot list resource "configmaps"`, "foes stay outside")
	})
	t.Run("webhook comes before RBAC", func(t *testing.T) {
		bind(t, admin, ns, "foe-with-role", "admin")
		bind(t, admin, ns, "guest-with-role", "admin")
		server.Eventually(t, patience, func(context.Context) error { return list("guest-with-role") })
		refused(t, list("foe-with-role"), apierrors.IsForbidden, "foes stay outside")
	})
	t.Run("ABAC allows", func(t *testing.T) { passes(t, list("ann")) })
	t.Run("ABAC has no opinion", func(t *testing.T) {
		refused(t, write("ann"), apierrors.IsForbidden, "No policy matched")
		refused(t, list("bob"), apierrors.IsForbidden, "No policy matched")
	})
	t.Run("ABAC file is read again", func(t *testing.T) {
		replace(t, abac, fmt.Sprintf(abacPolicies, "bob"))
		server.Eventually(t, patience, func(context.Context) error { return list("bob") })
		refused(t, list("ann"), apierrors.IsForbidden, "No policy matched")
	})
	t.Run("bad ABAC file keeps the one before", func(t *testing.T) {
		replace(t, abac, "{ not a policy\n")
		server.Eventually(t, patience, func(context.Context) error {
			if !strings.Contains(s.Log(), "ABAC policy file "+abac+" is not read again, the one before stays in force") {
				return notYet("the log does not say so")
			}
			return nil
		})
		passes(t, list("bob"))
		refused(t, list("ann"), apierrors.IsForbidden)
	})
	t.Run("a mended ABAC file is read again", func(t *testing.T) {
		replace(t, abac, fmt.Sprintf(abacPolicies, "cleo"))
		server.Eventually(t, patience, func(context.Context) error { return list("cleo") })
	})
	t.Run("webhook that is down has no opinion", func(t *testing.T) {
		reviews.Close()
		refused(t, list("friend-two"), apierrors.IsInternalError, "connection refused")
		passes(t, list("cleo"))
	})
}

// authorizationConfig is an AuthorizationConfiguration that asks the webhook
// about the users its condition picks, and refuses where there is no answer.
const authorizationConfig = `
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: house
  webhook:
    authorizedTTL: 1s
    unauthorizedTTL: 1s
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo:
      type: KubeConfigFile
      kubeConfigFile: %s
    matchConditions:
    - expression: request.user.%s
- type: Node
  name: node
- type: RBAC
  name: rbac
`

// TestAuthorizationConfiguration shows the structured configuration: its CEL
// conditions, its failure policy, and that a changed file counts at once.
func TestAuthorizationConfiguration(t *testing.T) {
	t.Parallel()
	reviews := answering(t, decide)
	kubeconfig := reviews.kubeconfig(t)
	config := file(t, "authz.yaml", fmt.Sprintf(authorizationConfig, kubeconfig, "startsWith('friend')"))
	s := server.Start(t, server.Options{Config: "authorization: {configFile: " + config + "}"})
	admin := s.Admin(t)
	ns := namespace(t, admin)
	for _, user := range []string{"foe", "friend", "guest"} {
		if user != "friend" {
			bind(t, admin, ns, user, "view")
		}
	}
	ctx := t.Context()
	list := func(user string) error {
		_, err := server.Client(t, s.UserConfig(t, user)).CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{})
		return err
	}
	inLog := func(text string) func(context.Context) error {
		return func(context.Context) error {
			if !strings.Contains(s.Log(), text) {
				return notYet("the log does not say %q", text)
			}
			return nil
		}
	}

	t.Run("who matches is asked about", func(t *testing.T) { passes(t, list("friend")) })
	t.Run("who does not match is for RBAC", func(t *testing.T) {
		server.Eventually(t, patience, func(context.Context) error { return list("foe") })
		refused(t, list("stranger"), apierrors.IsForbidden, `User "stranger" cannot list resource "configmaps"`)
	})
	t.Run("changed conditions count without a restart", func(t *testing.T) {
		replace(t, config, fmt.Sprintf(authorizationConfig, kubeconfig, "startsWith('f')"))
		server.Eventually(t, patience, func(context.Context) error {
			if err := list("foe"); err == nil {
				return notYet("foe still passes")
			}
			return nil
		})
		refused(t, list("foe"), apierrors.IsForbidden, "foes stay outside")
	})
	t.Run("a bad file keeps the one before", func(t *testing.T) {
		replace(t, config, fmt.Sprintf(authorizationConfig, kubeconfig, "startsWith("))
		server.Eventually(t, patience, inLog("authorization configuration "+config+" is not read again, the one before stays in force"))
		refused(t, list("foe"), apierrors.IsForbidden, "foes stay outside")
		passes(t, list("guest"))
	})
	t.Run("a webhook that is down refuses under failurePolicy Deny", func(t *testing.T) {
		reviews.Close()
		server.Eventually(t, patience, func(context.Context) error {
			if err := list("friend"); err == nil {
				return notYet("the last answer is still remembered")
			}
			return nil
		})
		refused(t, list("foe"), apierrors.IsInternalError, "connection refused")
		passes(t, list("guest"))
	})
}
