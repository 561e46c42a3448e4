package query

import (
	"strings"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Account is who made a request.
type Account struct {
	// Name is who acted: a user or a service account, as authenticated.
	Name string `json:"name"`
	// As is who was impersonated meanwhile; empty for nobody.
	As string `json:"as,omitempty"`
	// Kind is user, account, node or controller.
	Kind string `json:"kind"`
}

// Kinds of an Account.
const (
	KindUser       = "user"
	KindAccount    = "account" // a service account that is no controller of the cluster
	KindNode       = "node"
	KindController = "controller"
)

const (
	accountPrefix = "system:serviceaccount:"
	systemPrefix  = accountPrefix + "kube-system:"
)

// String is the account for people.
func (a Account) String() string {
	if a.As != "" {
		return a.Name + " as " + a.As
	}
	return a.Name
}

// AccountOf is who made the request of an event. A part of the control plane that
// impersonates somebody acts for them: so the controllers of Gatehouse do.
func AccountOf(e *audit.Event) Account {
	a := Account{Name: e.User, As: e.AsUser}
	if e.AsUser != "" && isControlPlane(e.User) {
		a = Account{Name: e.AsUser}
	}
	a.Kind = kindOf(a.Name)
	return a
}

func kindOf(user string) string {
	switch {
	case isController(user):
		return KindController
	case strings.HasPrefix(user, "system:node:"):
		return KindNode
	case strings.HasPrefix(user, accountPrefix):
		return KindAccount
	}
	return KindUser
}

// isControlPlane reports whether a user is a part of the control plane itself.
func isControlPlane(user string) bool {
	switch user {
	case "system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:cloud-controller-manager":
		return true
	}
	return false
}

// unsuffixed are the controllers of kube-controller-manager whose accounts are not called
// NAME-controller.
var unsuffixed = map[string]bool{
	"generic-garbage-collector": true, "pod-garbage-collector": true, "horizontal-pod-autoscaler": true,
	"persistent-volume-binder": true, "root-ca-cert-publisher": true, "service-ca-cert-publisher": true,
	"legacy-service-account-token-cleaner": true, "node-controller": true, "token-cleaner": true, "bootstrap-signer": true,
	"kube-controller-manager": true, "cloud-controller-manager": true,
}

// isController reports whether a user is a controller of the cluster, which acts for what
// somebody else wanted.
func isController(user string) bool {
	if isControlPlane(user) {
		return true
	}
	name, ok := strings.CutPrefix(user, systemPrefix)
	return ok && (strings.HasSuffix(name, "-controller") || unsuffixed[name])
}

// shortName is a controller's name without where its account is.
func (a Account) shortName() string { return a.Name[strings.LastIndexByte(a.Name, ':')+1:] }
