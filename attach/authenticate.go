package attach

import (
	"context"
	"errors"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// Authenticate is the endpoint /authenticate: a TokenReview of
// authentication.k8s.io/v1, answered by a token authenticator.
//
// The token must count for one of the audiences of the review, and for one of
// these where it names none. Whoever it is of is in status.user; of a token that
// is refused, status.error says why where an authenticator does. The answer
// repeats nothing of what was asked: it holds no token.
func Authenticate(tokens authenticator.Token, audiences []string) Endpoint {
	return Endpoint{Path: "/authenticate", Answer: func(ctx context.Context, body []byte) (any, string, error) {
		review, err := decode[authenticationv1.TokenReview](body, "authentication.k8s.io/v1", "TokenReview",
			"set --authentication-token-webhook-version=v1 on the API server")
		if err != nil {
			return nil, "", err
		}
		if review.Spec.Token == "" {
			return nil, "", apierrors.NewBadRequest("spec.token: is missing")
		}
		wanted := authenticator.Audiences(audiences)
		if len(review.Spec.Audiences) > 0 {
			wanted = review.Spec.Audiences
		}
		if len(wanted) > 0 {
			ctx = authenticator.WithAudiences(ctx, wanted)
		}
		answer := &authenticationv1.TokenReview{TypeMeta: review.TypeMeta}
		ctx, span := trace.Start(ctx, "authentication", "authentication")
		resp, ok, err := tokens.AuthenticateToken(ctx, review.Spec.Token)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && ok {
			err = acceptable(resp, wanted)
		}
		switch {
		case err != nil:
			answer.Status.Error = withoutToken(err, review.Spec.Token)
			auditid.Log(ctx).V(2).Info("A token is refused", "reason", answer.Status.Error)
			span.End(gate.Step{Opinion: gate.Deny, Part: "token", Reason: answer.Status.Error}, false)
			return answer, "error", nil
		case !ok:
			span.End(gate.Step{Opinion: gate.NoOpinion, Part: "token", Reason: "no token that is known"}, false)
			return answer, "unauthenticated", nil
		}
		span.End(gate.Step{Opinion: gate.Allow, Part: "token", Reason: resp.User.GetName()}, false)
		answer.Status.Authenticated = true
		answer.Status.Audiences = resp.Audiences
		answer.Status.User = authenticationv1.UserInfo{
			Username: resp.User.GetName(),
			UID:      resp.User.GetUID(),
			Groups:   resp.User.GetGroups(),
		}
		if extra := resp.User.GetExtra(); len(extra) > 0 {
			answer.Status.User.Extra = make(map[string]authenticationv1.ExtraValue, len(extra))
			for key, values := range extra {
				answer.Status.User.Extra[key] = values
			}
		}
		return answer, "authenticated", nil
	}}
}

// acceptable says why a response that an authenticator gave does not do. A user
// without a name would be anybody to an API server.
func acceptable(resp *authenticator.Response, wanted authenticator.Audiences) error {
	if resp == nil || resp.User == nil || resp.User.GetName() == "" {
		return errors.New("the authenticator named no user")
	}
	if len(wanted) > 0 && len(wanted.Intersect(resp.Audiences)) == 0 {
		return errors.New("the token is for other audiences")
	}
	return nil
}

// withoutToken is the text of an error, unless that holds the token or one of the
// parts that a JSON Web Token is made of.
func withoutToken(err error, token string) string {
	text := err.Error()
	for part := range strings.SplitSeq(token, ".") {
		if len(part) >= 8 && strings.Contains(text, part) || strings.Contains(text, token) {
			return "the token is refused"
		}
	}
	return text
}
