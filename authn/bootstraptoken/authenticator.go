package bootstraptoken

import (
	"context"
	"crypto/subtle"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/clock"
)

// The names and forms that Kubernetes gives bootstrap tokens
// (k8s.io/cluster-bootstrap/token/api).
const (
	// SecretType is the type of the Secrets; an informer may ask for them alone.
	SecretType corev1.SecretType = "bootstrap.kubernetes.io/token"

	secretPrefix = "bootstrap-token-"
	userPrefix   = "system:bootstrap:"
	defaultGroup = "system:bootstrappers"

	keyID         = "token-id"
	keySecret     = "token-secret"
	keyExpiration = "expiration"
	keyUsage      = "usage-bootstrap-authentication"
	keyGroups     = "auth-extra-groups"
)

var (
	tokenForm = regexp.MustCompile(`\A([a-z0-9]{6})\.([a-z0-9]{16})\z`)
	groupForm = regexp.MustCompile(`\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z`)
)

// Options shape an Authenticator. The zero value is ready.
type Options struct {
	// Clock tells when a token has expired. Default: the real one.
	Clock clock.PassiveClock
}

// Authenticator knows the bootstrap tokens of a cluster. It is safe for
// concurrent use.
type Authenticator struct {
	secrets corev1listers.SecretNamespaceLister
	clock   clock.PassiveClock
}

var _ authenticator.Token = (*Authenticator)(nil)

// New makes an authenticator over the Secrets of kube-system.
func New(secrets corev1listers.SecretNamespaceLister, opts Options) *Authenticator {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	return &Authenticator{secrets: secrets, clock: opts.Clock}
}

// AuthenticateToken implements authenticator.Token. A token of another form is
// left to others.
func (a *Authenticator) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	parts := tokenForm.FindStringSubmatch(token)
	if parts == nil {
		return nil, false, nil
	}
	id, secret := parts[1], parts[2]
	object, err := a.secrets.Get(secretPrefix + id)
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("look up bootstrap token %s: %w", id, err)
	}
	if object.DeletionTimestamp != nil || object.Type != SecretType || !a.proves(object, id, secret) {
		return nil, false, nil
	}
	groups, ok := groupsOf(object)
	if !ok {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: userPrefix + id, Groups: groups}}, true, nil
}

// proves reports that the Secret is of this token, and that it counts now.
func (a *Authenticator) proves(object *corev1.Secret, id, secret string) bool {
	return subtle.ConstantTimeCompare(object.Data[keySecret], []byte(secret)) == 1 &&
		string(object.Data[keyID]) == id &&
		string(object.Data[keyUsage]) == "true" &&
		!expired(string(object.Data[keyExpiration]), a.clock.Now())
}

// expired reports that the instant has come; one that cannot be read has.
func expired(expiration string, now time.Time) bool {
	if expiration == "" {
		return false
	}
	at, err := time.Parse(time.RFC3339, expiration)
	return err != nil || !now.Before(at)
}

// groupsOf are the groups of a token's holder, sorted and without repeats. One
// that may not be given to a token spoils them all.
func groupsOf(object *corev1.Secret) ([]string, bool) {
	groups := []string{defaultGroup}
	if extra := string(object.Data[keyGroups]); extra != "" {
		for group := range strings.SplitSeq(extra, ",") {
			if !groupForm.MatchString(group) {
				return nil, false
			}
			groups = append(groups, group)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), true
}
