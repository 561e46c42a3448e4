package respond

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// Labels of what is made.
const (
	LabelManagedBy   = "app.kubernetes.io/managed-by"
	ManagedBy        = "gatehouse-detect"
	LabelRule        = "gatehouse.io/detection-rule"
	LabelFingerprint = "gatehouse.io/fingerprint"
	// LabelOwner is who answers for the object: whoever wrote the settings.
	LabelOwner = "gatehouse.io/owner"
	// LabelExpires is when it ends, in UTC, as 20060102T150405Z.
	LabelExpires = "gatehouse.io/expires"
)

const expiresForm = "20060102T150405Z"

// adminsGroup is that of the administrator whom gatehouse serve makes.
const adminsGroup = "gatehouse:admins"

// nobodyToStop is why a Finding's subject is left alone; empty where it is not.
func nobodyToStop(s *detect.Subject, own []string, privileged bool) string {
	name := s.User
	account := func(namespace string) bool { return strings.HasPrefix(name, "system:serviceaccount:"+namespace+":") }
	switch {
	case name == "" || name == user.Anonymous:
		return "it is nobody in particular"
	case slices.Contains(own, name):
		return name + " is Gatehouse itself"
	case privileged:
		return ""
	case slices.Contains(s.Groups, user.SystemPrivilegedGroup):
		return name + " is a member of " + user.SystemPrivilegedGroup
	case slices.Contains(s.Groups, adminsGroup):
		return name + " is an administrator of Gatehouse"
	case slices.Contains(s.Groups, user.NodesGroup) || strings.HasPrefix(name, "system:node:"):
		return name + " is a node"
	case account(metav1.NamespaceSystem), strings.HasPrefix(name, "system:") && !strings.HasPrefix(name, "system:serviceaccount:"):
		return name + " is a part of the control plane"
	}
	return ""
}

// plan is the object that stops the subject of a Finding until a time.
func plan(f *detect.Finding, create string, until time.Time) runtime.Object {
	end := metav1.NewTime(until.UTC().Truncate(time.Second))
	reason := clip(fmt.Sprintf("Detection rule %s: %s", f.Rule, f.Message), 1000)
	meta := metav1.ObjectMeta{
		Name: "detect-" + f.Fingerprint,
		Labels: map[string]string{
			LabelManagedBy: ManagedBy, LabelFingerprint: f.Fingerprint, LabelOwner: ManagedBy, LabelExpires: end.Format(expiresForm),
		},
		Annotations: map[string]string{v1alpha1.AnnotationReason: reason, v1alpha1.AnnotationExpiresAt: end.Format(time.RFC3339)},
	}
	if len(validation.IsValidLabelValue(f.Rule)) == 0 {
		meta.Labels[LabelRule] = f.Rule
	}
	namespace, account, err := serviceaccount.SplitUsername(f.Subject.User)
	isAccount := err == nil
	if create == v1alpha1.RespondRevocation {
		r := &v1alpha1.Revocation{
			TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Revocation"}, ObjectMeta: meta,
			Spec: v1alpha1.RevocationSpec{Reason: reason, ExpiresAt: &end},
		}
		if isAccount {
			r.Spec.ServiceAccount = &v1alpha1.RevokedServiceAccount{Namespace: namespace, Name: account}
		} else {
			// What is issued meanwhile does not count either, until it ends.
			r.Spec.User = &v1alpha1.RevokedUser{Name: f.Subject.User, IssuedBefore: end}
		}
		return r
	}
	g := &v1alpha1.Guard{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Guard"}, ObjectMeta: meta,
		Spec: v1alpha1.GuardSpec{
			Resources: []string{"*"}, NonResourceURLs: []string{"*"}, Mode: v1alpha1.GuardEnforce,
			Windows: []v1alpha1.GuardWindow{{NotAfter: &end}}, Reason: reason,
		},
	}
	if isAccount {
		g.Spec.Subjects.ServiceAccounts = []v1alpha1.GuardServiceAccount{{Namespace: namespace, Name: account}}
	} else {
		g.Spec.Subjects.Users = []string{f.Subject.User}
	}
	return g
}

// clip cuts a text that clients wrote to a length, and takes out what is no text.
func clip(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.ToValidUTF8(text[:min(len(text), n)], "")
}
