package main

import (
	"context"
	"fmt"
	"net"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// makeClients returns n clients of the core API. They speak protobuf, set
// themselves no limit, and have one connection each.
func makeClients(config *rest.Config, n int) ([]*rest.RESTClient, error) {
	clients := make([]*rest.RESTClient, n)
	for i := range clients {
		c := rest.CopyConfig(config)
		c.APIPath = "/api"
		c.GroupVersion = &corev1.SchemeGroupVersion
		c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
		c.ContentType = runtime.ContentTypeProtobuf
		c.AcceptContentTypes = runtime.ContentTypeProtobuf
		c.QPS = -1
		c.UserAgent = "gatehouse-bench"
		// Compression would be most of a list's cost, the same on both sides.
		c.DisableCompression = true
		// client-go shares a transport among equal configurations; a dialer of
		// its own makes a configuration equal to no other.
		c.Dial = (&net.Dialer{}).DialContext
		var err error
		if clients[i], err = rest.RESTClientFor(c); err != nil {
			return nil, fmt.Errorf("make a client: %w", err)
		}
	}
	return clients, nil
}

// makeNamespaces makes the two namespaces, held to the restricted standard,
// and in each the default service account that every pod needs: stock runs no
// controller that would make it.
func makeNamespaces(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	for _, name := range []string{workNamespace, listNamespace} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name:   name,
			Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
		}}
		if _, err := client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
		_, err := client.CoreV1().ServiceAccounts(name).Create(ctx, account, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create the service account of %s: %w", name, err)
		}
	}
	return nil
}

// serverVersion is what the server answers on /version.
func serverVersion(config *rest.Config) (string, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("make a client: %w", err)
	}
	v, err := client.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("ask for the server's version: %w", err)
	}
	return v.GitVersion, nil
}
