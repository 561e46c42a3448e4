package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gatehouse-io/gatehouse/cluster"
)

// fakeAPI is as much of an API server as the commands ask for: discovery from the
// built-in table, lists of the objects of a folder, who the caller is, and
// bindings that are created.
type fakeAPI struct {
	view    *cluster.View
	version string          // what /version says
	refused map[string]bool // "verb resource" that is forbidden
	missing map[string]bool // resources that are not served

	mu      sync.Mutex
	created []byte // the last object that was
}

// startAPI is the script command api DIR [version=V] [forbid=VERB:RESOURCE]…
// [without=RESOURCE]…: it serves the objects of the folder, and writes the file
// kubeconfig.
func startAPI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: api DIR [version=V] [forbid=VERB:RESOURCE]... [without=RESOURCE]...")
	}
	a := &fakeAPI{version: "v1.37.2", refused: map[string]bool{}, missing: map[string]bool{}}
	for _, arg := range args[1:] {
		switch name, value, _ := strings.Cut(arg, "="); name {
		case "version":
			a.version = value
		case "forbid":
			a.refused[strings.ReplaceAll(value, ":", " ")] = true
		case "without":
			a.missing[value] = true
		default:
			ts.Fatalf("api: what is %q?", arg)
		}
	}
	var err error
	a.view, err = cluster.FromFiles(context.Background(), []string{ts.MkAbs(args[0])}, nil, cluster.FileOptions{})
	ts.Check(err)
	server := httptest.NewServer(a)
	ts.Defer(server.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["fake"] = &clientcmdapi.Cluster{Server: server.URL}
	config.AuthInfos["fake"] = &clientcmdapi.AuthInfo{}
	config.Contexts["fake"] = &clientcmdapi.Context{Cluster: "fake", AuthInfo: "fake", Namespace: "shop"}
	config.CurrentContext = "fake"
	ts.Check(clientcmd.WriteToFile(*config, ts.MkAbs("kubeconfig")))
	ts.Setenv("KUBECONFIG", ts.MkAbs("kubeconfig"))
	ts.Setenv("API_WRITES", server.URL+"/writes")
}

// apiWrites is the script command apiwrites [FILE]: it fails where nothing was
// written, and puts the last object into the file.
func apiWrites(ts *testscript.TestScript, neg bool, args []string) {
	response, err := http.Get(ts.Getenv("API_WRITES"))
	ts.Check(err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	ts.Check(err)
	if neg == (len(data) > 0) {
		ts.Fatalf("written: %q", data)
	}
	if len(args) > 0 {
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
	}
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Path, "/")
	parts := strings.Split(path, "/")
	switch {
	case path == "writes":
		a.mu.Lock()
		defer a.mu.Unlock()
		w.Write(a.created)
	case path == "version":
		reply(w, http.StatusOK, map[string]string{"gitVersion": a.version, "major": "1", "minor": "37"})
	case path == "api":
		reply(w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case path == "apis":
		reply(w, http.StatusOK, a.groups())
	case len(parts) == 2 && parts[0] == "api":
		reply(w, http.StatusOK, a.resources("", "v1"))
	case len(parts) == 3 && parts[0] == "apis":
		reply(w, http.StatusOK, a.resources(parts[1], parts[2]))
	case strings.HasSuffix(path, "/selfsubjectreviews"):
		reply(w, http.StatusCreated, map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
			"status": map[string]any{"userInfo": map[string]any{"username": "ann", "groups": []string{"admins", "system:authenticated"}}}})
	default:
		a.object(w, r, parts)
	}
}

// object answers for the objects of the View.
func (a *fakeAPI) object(w http.ResponseWriter, r *http.Request, parts []string) {
	at, namespace := 2, ""
	if parts[0] == "apis" {
		at = 3
	}
	if len(parts) > at+2 && parts[at] == "namespaces" {
		namespace, at = parts[at+1], at+2
	}
	if len(parts) <= at {
		status(w, http.StatusNotFound, "NotFound")
		return
	}
	resource, name := parts[at], strings.Join(parts[at+1:], "/")
	verb := map[string]string{http.MethodGet: "list", http.MethodPost: "create"}[r.Method]
	if name != "" {
		verb = "get"
	}
	switch {
	case a.refused[verb+" "+resource]:
		status(w, http.StatusForbidden, "Forbidden")
		return
	case a.missing[resource]:
		status(w, http.StatusNotFound, "NotFound")
		return
	case verb == "create":
		data, _ := io.ReadAll(r.Body)
		if object, _, err := scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil); err == nil { // from Protobuf
			data, _ = json.Marshal(object)
		}
		if namespace != "" {
			if _, known := a.view.Labels(namespace); !known {
				status(w, http.StatusNotFound, "NotFound")
				return
			}
		}
		a.mu.Lock()
		if r.URL.Query().Get("dryRun") == "" {
			a.created = data
		}
		a.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		w.Write(data)
		return
	}
	var items []any
	add := func(object metav1.Object) {
		if (name == "" || object.GetName() == name) && (namespace == "" || object.GetNamespace() == namespace) {
			items = append(items, object)
		}
	}
	kind := ""
	switch resource {
	case "roles":
		kind = "Role"
		for _, h := range a.view.Roles {
			add(h.Object)
		}
	case "rolebindings":
		kind = "RoleBinding"
		for _, h := range a.view.RoleBindings {
			add(h.Object)
		}
	case "clusterroles":
		kind = "ClusterRole"
		for _, h := range a.view.ClusterRoles {
			add(h.Object)
		}
	case "clusterrolebindings":
		kind = "ClusterRoleBinding"
		for _, h := range a.view.ClusterRoleBindings {
			add(h.Object)
		}
	case "guards":
		kind = "Guard"
		for _, h := range a.view.Guards {
			add(h.Object)
		}
	case "namespaces":
		kind = "Namespace"
		for _, h := range a.view.Namespaces {
			add(h.Object)
		}
	}
	switch {
	case name != "" && len(items) == 0:
		status(w, http.StatusNotFound, "NotFound")
	case name != "":
		reply(w, http.StatusOK, items[0])
	default:
		version := strings.Join(parts[1:at], "/")
		if namespace != "" {
			version = strings.Join(parts[1:at-2], "/")
		}
		reply(w, http.StatusOK, map[string]any{"apiVersion": version, "kind": kind + "List", "metadata": map[string]string{}, "items": items})
	}
}

func (a *fakeAPI) groups() metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, g := range []string{"apps/v1", "rbac.authorization.k8s.io/v1", "gatehouse.io/v1alpha1"} {
		group, version, _ := strings.Cut(g, "/")
		v := metav1.GroupVersionForDiscovery{GroupVersion: g, Version: version}
		list.Groups = append(list.Groups, metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
	}
	return list
}

func (a *fakeAPI) resources(group, version string) metav1.APIResourceList {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: metav1.GroupVersion{Group: group, Version: version}.String()}
	for _, r := range builtInCatalog().all {
		if r.group != group || a.missing[r.resource] || r.kind == "" {
			continue
		}
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: r.resource, SingularName: r.singular, Kind: r.kind, Namespaced: r.namespaced, ShortNames: r.short, Verbs: []string{"get", "list"}})
		for _, sub := range r.subresources {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: r.resource + "/" + sub, Kind: r.kind, Namespaced: r.namespaced, Verbs: []string{"get"}})
		}
	}
	return list
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(body)
}

func status(w http.ResponseWriter, code int, reason string) {
	reply(w, code, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReason(reason), Code: int32(code), Message: "no"})
}
