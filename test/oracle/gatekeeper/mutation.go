package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	externaldataunversioned "github.com/open-policy-agent/frameworks/constraint/pkg/apis/externaldata/unversioned"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	mutationsunversioned "github.com/open-policy-agent/gatekeeper/v3/apis/mutations/unversioned"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/mutators"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/types"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// World is some mutators and the objects that they see.
type World struct {
	Mutators, Providers []*unstructured.Unstructured
	Objects             []Mutable
}

// Mutable is an object that is created or updated.
type Mutable struct {
	Object    *unstructured.Unstructured
	Namespace *corev1.Namespace
	// In is the namespace of the request.
	In, Username, Operation string
}

// Mutated is what became of a World.
type Mutated struct {
	// Refused says which mutators could not be read; Conflicting those that are in
	// conflict with others.
	Refused     map[string]string
	Conflicting map[string]bool
	// Objects are as they are written; "" with an error.
	Objects []json.RawMessage
	Errors  []string
}

// provide answers as the provider of the tests does.
func provide(_ context.Context, p *externaldataunversioned.Provider, keys []string, _ *tls.Certificate) (*externaldata.ProviderResponse, int, error) {
	r := &externaldata.ProviderResponse{}
	r.Response.Idempotent = p.Name != "restless"
	if p.Name == "broken" {
		r.Response.SystemError = "out of order"
	}
	for _, key := range keys {
		item := externaldata.Item{Key: key, Value: p.Name + ":" + key}
		switch {
		case strings.Contains(key, "lost"):
			continue
		case strings.Contains(key, "bad"):
			item = externaldata.Item{Key: key, Error: "no such image"}
		case strings.Contains(key, "odd"):
			item.Value = 7
		}
		r.Response.Items = append(r.Response.Items, item)
	}
	return r, 200, nil
}

func mutatorOf(u *unstructured.Unstructured) (types.Mutator, error) {
	convert := func(into any) error {
		return k8sruntime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into)
	}
	switch u.GetKind() {
	case "Assign":
		of := &mutationsunversioned.Assign{}
		if err := convert(of); err != nil {
			return nil, err
		}
		return nilOnError(mutators.MutatorForAssign(of))
	case "AssignMetadata":
		of := &mutationsunversioned.AssignMetadata{}
		if err := convert(of); err != nil {
			return nil, err
		}
		return nilOnError(mutators.MutatorForAssignMetadata(of))
	case "ModifySet":
		of := &mutationsunversioned.ModifySet{}
		if err := convert(of); err != nil {
			return nil, err
		}
		return nilOnError(mutators.MutatorForModifySet(of))
	case "AssignImage":
		of := &mutationsunversioned.AssignImage{}
		if err := convert(of); err != nil {
			return nil, err
		}
		return nilOnError(mutators.MutatorForAssignImage(of))
	}
	return nil, fmt.Errorf("no mutator: %s", u.GetKind())
}

func nilOnError[M types.Mutator](m M, err error) (types.Mutator, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (w *World) mutate(ctx context.Context, watcher *certwatcher.CertWatcher) (*Mutated, error) {
	m := &Mutated{Refused: map[string]string{}, Conflicting: map[string]bool{}}
	providers := externaldata.NewCache()
	for _, u := range w.Providers {
		p := &externaldataunversioned.Provider{}
		if err := k8sruntime.DefaultUnstructuredConverter.FromUnstructured(u.Object, p); err != nil {
			return nil, err
		}
		if err := providers.Upsert(p); err != nil {
			return nil, err
		}
	}
	system := mutation.NewSystem(mutation.SystemOpts{ProviderCache: providers, SendRequestToExternalDataProvider: provide, ClientCertWatcher: watcher})
	ids := map[string]types.ID{}
	for _, u := range w.Mutators {
		name := u.GetKind() + "/" + u.GetName()
		one, err := mutatorOf(u)
		if err != nil {
			m.Refused[name] = err.Error()
			continue
		}
		_ = system.Upsert(one) // a conflict is asked for below
		ids[name] = one.ID()
	}
	for name, id := range ids {
		for with := range system.GetConflicts(id) {
			if with == id {
				m.Conflicting[name] = true
			}
		}
	}
	for i := range w.Objects {
		o := &w.Objects[i]
		obj := o.Object
		in, ns := o.In, o.Namespace
		if obj.GetKind() == "Namespace" {
			in = ""
		}
		before := obj.GetNamespace() // as Gatekeeper's webhook does it
		obj.SetNamespace(in)
		_, err := system.Mutate(ctx, &types.Mutable{Object: obj, Namespace: ns, Username: o.Username, Source: types.SourceTypeOriginal, Operation: admissionv1.Operation(o.Operation)})
		if err != nil {
			m.Objects, m.Errors = append(m.Objects, json.RawMessage("null")), append(m.Errors, err.Error())
			continue
		}
		obj.SetNamespace(before)
		data, err := obj.MarshalJSON()
		if err != nil {
			return nil, err
		}
		m.Objects, m.Errors = append(m.Objects, data), append(m.Errors, "")
	}
	return m, nil
}

// watchedCertificate is the client certificate without which Gatekeeper asks nobody.
func watchedCertificate() (*certwatcher.CertWatcher, error) {
	dir, err := os.MkdirTemp("", "oracle")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certFile, keyFile := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return nil, err
	}
	return certwatcher.New(certFile, keyFile)
}
