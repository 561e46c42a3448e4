package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"

	"github.com/gatehouse-io/gatehouse/policy/scan"
)

var podsServed = scan.Resource{
	GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "pods"},
	Kind:                 schema.GroupVersionKind{Version: "v1", Kind: "Pod"},
	Namespaced:           true,
}

// nobodyElse is the Source of what is not read from the storage.
type nobodyElse struct{}

var errElse = errors.New("others were asked")

func (nobodyElse) List(context.Context, scan.Resource, string, metav1.ListOptions) (*scan.Page, error) {
	return nil, errElse
}

func (nobodyElse) Watch(context.Context, scan.Resource, metav1.ListOptions) (watch.Interface, error) {
	return nil, errElse
}

// podStore is an API server's storage of Pods over an etcd, and the Source of them.
type podStore struct {
	t      testing.TB
	store  storage.Interface
	client *clientv3.Client
	close  func()
	*storedObjects
}

// podStores are the ways in which a server may open its storage.
var podStores = []string{"cached", "plain", "upstream's"}

func openPods(t *testing.T, how string, before ...*core.Pod) *podStore {
	t.Helper()
	e := startTestEtcd(t)
	t.Cleanup(e.Close)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{e.Config().ListenClientUrls[0].String()}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	resource := podsServed.GroupResource()
	config := storagebackend.NewDefaultConfig("/registry", legacyscheme.Codecs.LegacyCodec(corev1.SchemeGroupVersion))
	config.Transport.ServerList = []string{e.Config().ListenClientUrls[0].String()}
	var getter generic.RESTOptionsGetter = generic.RESTOptions{StorageConfig: config.ForResource(resource), Decorator: genericregistry.StorageWithCacher(), ResourcePrefix: "pods"}
	if how != "upstream's" {
		objects := &objectStorage{etcd: newInProcess(e.Server), plain: map[schema.GroupResource]bool{resource: how == "plain"}}
		getter = objects.over(getter)
	}
	for i := range before { // what the cache's own list finds
		s := &podStore{t: t}
		s.open(getter)
		s.create(before[i])
		s.close()
	}
	s := &podStore{t: t, client: client}
	opened := newOpenedStorage()
	s.open(opened.over(getter))
	t.Cleanup(s.close)
	s.storedObjects = &storedObjects{opened: opened, others: nobodyElse{}}
	return s
}

func (s *podStore) open(getter generic.RESTOptionsGetter) {
	s.t.Helper()
	o, err := getter.GetRESTOptions(podsServed.GroupResource(), &core.Pod{})
	if err != nil {
		s.t.Fatal(err)
	}
	key := func(o runtime.Object) (string, error) {
		m, err := meta.Accessor(o)
		return "/pods/" + m.GetNamespace() + "/" + m.GetName(), err
	}
	s.store, s.close, err = o.Decorator(o.StorageConfig, "/pods", key, func() runtime.Object { return &core.Pod{} }, func() runtime.Object { return &core.PodList{} },
		storage.DefaultNamespaceScopedAttr, nil, nil)
	if err != nil {
		s.t.Fatal(err)
	}
}

// storedPod has fields that its served version has elsewhere.
func storedPod(namespace, name string) *core.Pod {
	return &core.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "-" + name), Labels: map[string]string{"app": name}},
		Spec: core.PodSpec{
			Containers:         []core.Container{{Name: "c", Image: "web", TerminationMessagePolicy: core.TerminationMessageReadFile, ImagePullPolicy: core.PullAlways}},
			ServiceAccountName: "web",
		},
	}
}

func (s *podStore) create(p *core.Pod) *core.Pod {
	s.t.Helper()
	out := &core.Pod{}
	if err := s.store.Create(s.t.Context(), "/pods/"+p.Namespace+"/"+p.Name, p, out, 0); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *podStore) label(p *core.Pod, value string) *core.Pod {
	s.t.Helper()
	out := &core.Pod{}
	err := s.store.GuaranteedUpdate(s.t.Context(), "/pods/"+p.Namespace+"/"+p.Name, out, false, nil, storage.SimpleUpdate(func(o runtime.Object) (runtime.Object, error) {
		o.(*core.Pod).Labels["app"] = value
		return o, nil
	}), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *podStore) delete(p *core.Pod) {
	s.t.Helper()
	if err := s.store.Delete(s.t.Context(), "/pods/"+p.Namespace+"/"+p.Name, &core.Pod{}, nil, storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// asServed is the JSON that the API has for an object.
func asServed(t testing.TB, o *core.Pod) string {
	t.Helper()
	said, err := runtime.Encode(legacyscheme.Codecs.LegacyCodec(corev1.SchemeGroupVersion), o)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(said))
}

func says(t testing.TB, o any) string {
	t.Helper()
	said, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

func next(t testing.TB, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case event, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("the watch has ended")
		}
		return event
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
	}
	return watch.Event{}
}

// nextChange is the next event that is no bookmark.
func nextChange(t testing.TB, w watch.Interface) (watch.EventType, *corev1.Pod) {
	t.Helper()
	for {
		event := next(t, w)
		if event.Type == watch.Bookmark {
			continue
		}
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			t.Fatalf("%s of %v", event.Type, event.Object)
		}
		return event.Type, pod
	}
}

func eachPodStore(t *testing.T, test func(t *testing.T, how string)) {
	for _, how := range podStores {
		t.Run(how, func(t *testing.T) { test(t, how) })
	}
}

// A list has every object as the API has it, page by page, of one namespace or all.
func TestStoredObjectsAreListedAsServed(t *testing.T) {
	eachPodStore(t, func(t *testing.T, how string) {
		s := openPods(t, how)
		var want []string
		for _, name := range []string{"bank/a", "bank/b", "shop/a", "shop/b", "shop/c", "shopping/a"} {
			namespace, name, _ := strings.Cut(name, "/")
			want = append(want, asServed(t, s.create(storedPod(namespace, name))))
		}
		list := func(namespace string, limit int64) (all []string, pages int) {
			t.Helper()
			opts := metav1.ListOptions{Limit: limit}
			for {
				page, err := s.List(t.Context(), podsServed, namespace, opts)
				if err != nil {
					t.Fatal(err)
				}
				pages++
				for _, o := range page.Items {
					if kind := o.GetObjectKind().GroupVersionKind(); kind != podsServed.Kind {
						t.Fatalf("it is of kind %v", kind)
					}
					all = append(all, says(t, o))
				}
				if page.ResourceVersion == "" {
					t.Error("it has no version to watch from")
				}
				if opts.Continue = page.Continue; opts.Continue == "" {
					return all, pages
				}
				if page.RemainingItemCount == nil || *page.RemainingItemCount != int64(len(want)-len(all)) {
					t.Errorf("after %d objects, %v remain", len(all), page.RemainingItemCount)
				}
			}
		}
		if all, pages := list("", 2); !slices.Equal(all, want) || pages != 3 {
			t.Errorf("%d pages with\n%s\nwant\n%s", pages, strings.Join(all, "\n"), strings.Join(want, "\n"))
		}
		if all, _ := list("", 0); !slices.Equal(all, want) {
			t.Errorf("%q", all)
		}
		if all, _ := list("shop", 0); !slices.Equal(all, want[2:5]) {
			t.Errorf("in one namespace: %q", all)
		}
		if all, _ := list("none", 0); len(all) != 0 {
			t.Errorf("in no namespace: %q", all)
		}
		if !strings.Contains(want[0], `"serviceAccount":"web"`) {
			t.Errorf("the fixture is %s", want[0])
		}
	})
}

// A watch tells what happens after a list, in the same words.
func TestStoredObjectsAreWatchedAsServed(t *testing.T) {
	eachPodStore(t, func(t *testing.T, how string) {
		s := openPods(t, how)
		s.create(storedPod("shop", "old"))
		page, err := s.List(t.Context(), podsServed, "", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		seconds := int64(60)
		w, err := s.Watch(t.Context(), podsServed, metav1.ListOptions{ResourceVersion: page.ResourceVersion, AllowWatchBookmarks: true, TimeoutSeconds: &seconds})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		created := s.create(storedPod("shop", "web"))
		if what, pod := nextChange(t, w); what != watch.Added || says(t, pod) != asServed(t, created) {
			t.Errorf("%s of %s", what, says(t, pod))
		}
		changed := s.label(created, "other")
		what, pod := nextChange(t, w)
		if what != watch.Modified || says(t, pod) != asServed(t, changed) {
			t.Errorf("%s of %s", what, says(t, pod))
		}
		// The list has the same, to the last pointer: hashes of both are equal.
		if page, err = s.List(t.Context(), podsServed, "shop", metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(page.Items[1], scan.Item(pod)) {
			t.Errorf("a list has\n%#v\nand a watch\n%#v", page.Items[1], pod)
		}
		// What was handed out is nobody else's.
		page.Items[1].GetLabels()["app"], pod.Labels["app"] = "mine", "mine"
		page.Items[1].(*corev1.Pod).Spec.Containers[0].Image, pod.Spec.Containers[0].Image = "mine", "mine"
		if page, err = s.List(t.Context(), podsServed, "shop", metav1.ListOptions{}); err != nil || says(t, page.Items[1]) != asServed(t, changed) {
			t.Errorf("the cache has %s, %v", says(t, page.Items[1]), err)
		}
		s.delete(changed)
		what, pod = nextChange(t, w)
		if what != watch.Deleted || pod.UID != changed.UID || pod.ResourceVersion <= changed.ResourceVersion {
			t.Errorf("%s of %s", what, says(t, pod))
		}
		// From there another watch goes on.
		again, err := s.Watch(t.Context(), podsServed, metav1.ListOptions{ResourceVersion: pod.ResourceVersion})
		if err != nil {
			t.Fatal(err)
		}
		last := s.create(storedPod("shop", "last"))
		if what, pod := nextChange(t, again); what != watch.Added || pod.UID != last.UID {
			t.Errorf("%s of %s", what, says(t, pod))
		}
		again.Stop()
		ended(t, again)
	})
}

func ended(t testing.TB, w watch.Interface) (bookmarks int) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case event, ok := <-w.ResultChan():
			if !ok {
				return bookmarks
			}
			if event.Type == watch.Bookmark {
				if pod, ok := event.Object.(*corev1.Pod); !ok || pod.ResourceVersion == "" {
					t.Errorf("a bookmark is %v", event.Object)
				}
				bookmarks++
			}
		case <-limit:
			t.Fatal("the watch does not end")
		}
	}
}

// A watch ends when its time is over, with a bookmark before, and when nobody wants it.
func TestAWatchOfTheStorageEnds(t *testing.T) {
	s := openPods(t, "cached")
	at := s.create(storedPod("shop", "web")).ResourceVersion
	seconds := int64(5)
	w, err := s.Watch(t.Context(), podsServed, metav1.ListOptions{ResourceVersion: at, AllowWatchBookmarks: true, TimeoutSeconds: &seconds})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.create(storedPod("shop", "other")) // there is something to say
	if bookmarks := ended(t, w); bookmarks == 0 {
		t.Error("it had no bookmark")
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it ended after %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if w, err = s.Watch(ctx, podsServed, metav1.ListOptions{ResourceVersion: at}); err != nil {
		t.Fatal(err)
	}
	cancel()
	ended(t, w)
}

// What is too old to be known is said to be, as an API server says it.
func TestAWatchFromTooLongAgo(t *testing.T) {
	eachPodStore(t, func(t *testing.T, how string) {
		s := openPods(t, how, storedPod("shop", "first"), storedPod("shop", "second"), storedPod("shop", "third"))
		page, err := s.List(t.Context(), podsServed, "", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if how == "plain" {
			if _, err := s.client.Compact(t.Context(), mustVersion(t, page.ResourceVersion), clientv3.WithCompactPhysical()); err != nil {
				t.Fatal(err)
			}
		}
		w, err := s.Watch(t.Context(), podsServed, metav1.ListOptions{ResourceVersion: page.Items[0].GetResourceVersion()})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		event := next(t, w)
		if err := apierrors.FromObject(event.Object); event.Type != watch.Error || !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			t.Errorf("%s: %v", event.Type, err)
		}
		ended(t, w)
	})
}

// The rest of a list that took too long can be had by another name.
func TestAPageFromTooLongAgo(t *testing.T) {
	s := openPods(t, "plain", storedPod("shop", "a"), storedPod("shop", "b"), storedPod("shop", "c"))
	page, err := s.List(t.Context(), podsServed, "", metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	last := s.create(storedPod("shop", "d"))
	if _, err := s.client.Compact(t.Context(), mustVersion(t, last.ResourceVersion), clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	_, err = s.List(t.Context(), podsServed, "", metav1.ListOptions{Limit: 1, Continue: page.Continue})
	status := apierrors.APIStatus(nil)
	if !apierrors.IsResourceExpired(err) || !errors.As(err, &status) || status.Status().Continue == "" {
		t.Fatal(err)
	}
	page, err = s.List(t.Context(), podsServed, "", metav1.ListOptions{Continue: status.Status().Continue})
	if err != nil || len(page.Items) != 3 || page.Items[0].GetName() != "b" {
		t.Errorf("%+v, %v", page, err)
	}
}

func mustVersion(t testing.TB, text string) (version int64) {
	t.Helper()
	if _, err := fmt.Sscan(text, &version); err != nil {
		t.Fatal(err)
	}
	return version
}

// When the server has stopped, watches have ended and nothing is read.
func TestStoredObjectsOfAServerThatHasStopped(t *testing.T) {
	eachPodStore(t, func(t *testing.T, how string) {
		s := openPods(t, how)
		at := s.create(storedPod("shop", "web")).ResourceVersion
		w, err := s.Watch(t.Context(), podsServed, metav1.ListOptions{ResourceVersion: at})
		if err != nil {
			t.Fatal(err)
		}
		s.close()
		if how == "cached" || how == "upstream's" {
			ended(t, w)
		}
		w.Stop()
		ended(t, w)
		if _, err := s.List(t.Context(), podsServed, "", metav1.ListOptions{}); err == nil || errors.Is(err, errElse) {
			t.Error(err)
		}
		if _, err := s.Watch(t.Context(), podsServed, metav1.ListOptions{ResourceVersion: at}); err == nil || errors.Is(err, errElse) {
			t.Error(err)
		}
	})
}

// What is not built in, what is not in the storage and what is served otherwise than it
// is stored is read by others.
func TestOthersReadWhatIsNotStoredAsServed(t *testing.T) {
	s := &storedObjects{opened: newOpenedStorage(), others: nobodyElse{}}
	for _, of := range []scan.Resource{
		{GroupVersionResource: schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "carts"}, Kind: schema.GroupVersionKind{Group: "shop.example", Version: "v1", Kind: "Cart"}},
		{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "services"}, Kind: schema.GroupVersionKind{Version: "v1", Kind: "Service"}},
		{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}, Kind: schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}},
		podsServed,
	} {
		if of.Resource != "pods" {
			s.opened.note(of.GroupResource(), &opened{})
		}
		if _, err := s.List(t.Context(), of, "", metav1.ListOptions{}); !errors.Is(err, errElse) {
			t.Errorf("%s: %v", of.Resource, err)
		}
		if _, err := s.Watch(t.Context(), of, metav1.ListOptions{}); !errors.Is(err, errElse) {
			t.Errorf("%s: %v", of.Resource, err)
		}
	}
}

// Upstream's own source tells which kinds it changes when they are read.
func TestWhatIsServedOtherwiseThanStored(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	found, err := exec.Command("grep", "-rlE", "--include=*.go", "--exclude=*_test.go", `\bDecorator(:| =)`, strings.TrimSpace(string(out))+"/pkg/registry").Output()
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for path := range strings.Lines(string(found)) {
		_, of, _ := strings.Cut(strings.TrimSpace(path), "/pkg/registry/")
		have = append(have, of)
	}
	slices.Sort(have)
	if want := []string{"core/persistentvolumeclaim/storage/storage.go", "core/service/storage/storage.go"}; !slices.Equal(have, want) {
		t.Errorf("upstream decorates in %q, and servedOtherwise knows of %q", have, want)
	}
}

// BenchmarkServedAs is what a Pod costs between the cache for watches and the scan: a copy
// of the cache's own, and its version.
func BenchmarkServedAs(b *testing.B) {
	stored := storedPod("shop", "web")
	stored.Spec.Containers[0].Env = make([]core.EnvVar, 10)
	b.Run("watch", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := servedAs(podsServed, stored.DeepCopyObject(), legacyscheme.Scheme.UnsafeConvertToVersion); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := servedAs(podsServed, stored, legacyscheme.Scheme.ConvertToVersion); err != nil {
				b.Fatal(err)
			}
		}
	})
}
