package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// api is an API server that lists n objects of each kind, by pages.
type api struct {
	n         int
	forbidden string // part of the paths that are refused
	guards    bool
	methods   map[string]int
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.methods[r.Method]++
	status := func(code int, reason string) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"no"}`, reason, code)
	}
	w.Header().Set("Content-Type", "application/json")
	path := r.URL.Path
	resource := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case a.forbidden != "" && strings.Contains(path, a.forbidden):
		status(http.StatusForbidden, "Forbidden")
		return
	case resource == "guards" && !a.guards:
		status(http.StatusNotFound, "NotFound")
		return
	}
	kinds := map[string]string{"roles": "Role", "rolebindings": "RoleBinding", "clusterroles": "ClusterRole",
		"clusterrolebindings": "ClusterRoleBinding", "guards": "Guard", "namespaces": "Namespace"}
	group := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(path, "/"+resource), "/apis/"), "/api/")
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	list := map[string]any{"kind": kinds[resource] + "List", "apiVersion": group, "metadata": map[string]string{"resourceVersion": "7"}}
	var items []any
	for i := from; i < a.n && (limit == 0 || i < from+limit); i++ {
		object := map[string]any{"apiVersion": group, "kind": kinds[resource], "metadata": map[string]string{"name": fmt.Sprintf("o%03d", i)}}
		if resource == "roles" || resource == "rolebindings" {
			object["metadata"].(map[string]string)["namespace"] = "shop"
		}
		items = append(items, object)
	}
	if limit > 0 && from+limit < a.n {
		list["metadata"].(map[string]string)["continue"] = strconv.Itoa(from + limit)
	}
	list["items"] = items
	json.NewEncoder(w).Encode(list)
}

func TestFromLive(t *testing.T) {
	for _, guards := range []bool{true, false} {
		a := &api{n: 25, guards: guards, methods: map[string]int{}}
		server := httptest.NewServer(a)
		defer server.Close()
		v, err := FromLive(context.Background(), &rest.Config{Host: server.URL}, LiveOptions{PageSize: 10})
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if guards {
			want = a.n
		}
		if len(v.Roles) != a.n || len(v.RoleBindings) != a.n || len(v.ClusterRoles) != a.n || len(v.ClusterRoleBindings) != a.n || len(v.Namespaces) != a.n || len(v.Guards) != want {
			t.Errorf("got %+v", v)
		}
		if s, ok := v.Source(Roles, "shop", "o024"); !ok || s.String() != "Role shop/o024" {
			t.Errorf("got %v, %v", s, ok)
		}
		if _, known := v.Labels("o000"); !known {
			t.Error("the namespace is not known")
		}
		if len(a.methods) != 1 || a.methods[http.MethodGet] < 15 {
			t.Errorf("requests by method: %v", a.methods)
		}
	}
}

func TestFromLiveSaysWhatItMayNot(t *testing.T) {
	server := httptest.NewServer(&api{n: 1, forbidden: "cluster", methods: map[string]int{}})
	defer server.Close()
	_, err := FromLive(context.Background(), &rest.Config{Host: server.URL}, LiveOptions{})
	forbidden := &ForbiddenError{}
	const want = "read cluster: needs list on clusterroles.rbac.authorization.k8s.io, clusterrolebindings.rbac.authorization.k8s.io"
	if !errors.As(err, &forbidden) || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if v, err := FromLive(context.Background(), &rest.Config{Host: server.URL}, LiveOptions{Kinds: []Kind{Roles}}); err != nil || len(v.Roles) != 1 || v.RoleBindings != nil {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestFromLiveUnreachable(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	if _, err := FromLive(context.Background(), &rest.Config{Host: server.URL}, LiveOptions{}); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}
