package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// caller makes requests of a side.
type caller struct {
	objects dynamic.Interface
	typed   *kubernetes.Clientset
	workers []*rest.RESTClient
	next    atomic.Int64 // of the names of Pods
	pod     *corev1.Pod
}

const namespace = "shop"

func newCaller(ctx context.Context, config *rest.Config, workers int) (*caller, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	c := &caller{pod: &corev1.Pod{}}
	var err error
	if c.objects, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.typed, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	for range workers {
		w := rest.CopyConfig(config)
		w.APIPath, w.GroupVersion, w.NegotiatedSerializer = "/api", &corev1.SchemeGroupVersion, scheme.Codecs.WithoutConversion()
		w.ContentType, w.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
		w.Dial = (&net.Dialer{}).DialContext // a connection of its own
		one, err := rest.RESTClientFor(w)
		if err != nil {
			return nil, err
		}
		c.workers = append(c.workers, one)
	}
	if err := yaml.Unmarshal([]byte(pods.object), c.pod); err != nil {
		return nil, err
	}
	if _, err := c.typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	_, err = c.typed.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	return c, nil
}

// create creates n Pods, and returns how long each took.
func (c *caller) create(ctx context.Context, n int) ([]time.Duration, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	took := make([]time.Duration, n)
	var at atomic.Int64
	for _, w := range c.workers {
		wg.Go(func() {
			for {
				i := int(at.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				pod := c.pod.DeepCopy()
				pod.Name = fmt.Sprintf("web-%d", c.next.Add(1))
				begun := time.Now()
				err := w.Post().Namespace(namespace).Resource("pods").Body(pod).Do(ctx).Error()
				took[i] = time.Since(begun)
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return took, failed
}

// clear deletes the Pods, so that all turns are of a server with as many.
func (c *caller) clear(ctx context.Context) error {
	now := int64(0)
	return c.typed.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})
}

// refuses waits until a Pod that breaks a rule is refused, or is not any more.
func (c *caller) refuses(ctx context.Context, want bool) error {
	bad := c.pod.DeepCopy()
	bad.Spec.Containers[0].Image = "elsewhere.example.org/web:1"
	err := until(ctx, fmt.Sprintf("a Pod of another repository to be refused: %v", want), 3*time.Minute, func(ctx context.Context) error {
		bad.Name = fmt.Sprintf("bad-%d", c.next.Add(1))
		_, err := c.typed.CoreV1().Pods(namespace).Create(ctx, bad, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		refused := err != nil && strings.Contains(err.Error(), "repository")
		if refused == want && (want || err == nil) {
			return nil
		}
		return fmt.Errorf("it answers %w", err)
	})
	if err != nil {
		return err
	}
	// The others are in force, or gone, a moment later.
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Second):
	}
	return ctx.Err()
}

// resourceOf is the plural as the kinds of this benchmark have it.
func resourceOf(o *unstructured.Unstructured) schema.GroupVersionResource {
	gvr, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
	if o.GroupVersionKind().Group == "constraints.gatekeeper.sh" {
		gvr.Resource = strings.ToLower(o.GetKind())
	}
	return gvr
}

// apply creates objects; those of a kind that is not served yet are tried again.
func (c *caller) apply(ctx context.Context, all []*unstructured.Unstructured) error {
	for _, o := range all {
		err := until(ctx, o.GetKind()+" "+o.GetName(), 2*time.Minute, func(ctx context.Context) error {
			_, err := c.objects.Resource(resourceOf(o)).Create(ctx, o, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *caller) remove(ctx context.Context, all []*unstructured.Unstructured) error {
	for _, o := range all {
		if err := c.objects.Resource(resourceOf(o)).Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
