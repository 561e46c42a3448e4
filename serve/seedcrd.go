package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	clientv3 "go.etcd.io/etcd/client/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/yaml"
)

// ensureCRDs writes the CustomResourceDefinitions of Gatehouse's own kinds, or
// brings their schema up to date, before the API server starts: a server that
// comes up with them does not build its OpenAPI documents a second time.
func (s *seeder) ensureCRDs(ctx context.Context, manifests [][]byte) error {
	for _, manifest := range manifests {
		want := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(manifest, want); err != nil {
			return fmt.Errorf("read CRD: %w", err)
		}
		apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(want)
		if err := s.ensureCRD(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

// ensureReportCRDs writes the definitions of the reports, unless another program has
// brought its own: its objects may be stored, and are served then.
func (s *seeder) ensureReportCRDs(ctx context.Context) error {
	all, err := reportCRDs()
	if err != nil {
		return err
	}
	for _, want := range all {
		answer, err := s.client.Get(ctx, path.Join(s.prefix, "apiextensions.k8s.io", "customresourcedefinitions", want.Name))
		if err != nil {
			return fmt.Errorf("read CRD %s: %w", want.Name, err)
		}
		if len(answer.Kvs) > 0 {
			have := &apiextensionsv1.CustomResourceDefinition{}
			if err := json.Unmarshal(answer.Kvs[0].Value, have); err != nil {
				return fmt.Errorf("read CRD %s: %w", want.Name, err)
			}
			if !computedByUs(have) {
				continue
			}
		}
		if err := s.ensureCRD(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) ensureCRD(ctx context.Context, want *apiextensionsv1.CustomResourceDefinition) error {
	key := path.Join(s.prefix, "apiextensions.k8s.io", "customresourcedefinitions", want.Name)
	answer, err := s.client.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read CRD %s: %w", want.Name, err)
	}
	revision := int64(0)
	object := want
	if len(answer.Kvs) == 0 {
		object.UID = types.UID(uuid.NewUUID())
		object.CreationTimestamp = metav1.NewTime(s.clock.Now().UTC().Truncate(1e9))
		object.Generation = 1
		object.Status = established(want, object.CreationTimestamp)
	} else {
		revision = answer.Kvs[0].ModRevision
		have := &apiextensionsv1.CustomResourceDefinition{}
		if err := json.Unmarshal(answer.Kvs[0].Value, have); err != nil {
			return fmt.Errorf("read CRD %s: %w", want.Name, err)
		}
		if equality.Semantic.DeepEqual(have.Spec, want.Spec) {
			return nil
		}
		have.Spec = want.Spec
		have.Generation++
		object = have
	}
	object.APIVersion, object.Kind = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
	data, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode CRD %s: %w", want.Name, err)
	}
	_, err = s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)). // another replica is as good
		Then(clientv3.OpPut(key, string(data))).Commit()
	if err != nil {
		return fmt.Errorf("write CRD %s: %w", want.Name, err)
	}
	return nil
}

// established is the status the naming and establishing controllers would come
// to, so that the kind is served from the server's first moment.
func established(crd *apiextensionsv1.CustomResourceDefinition, now metav1.Time) apiextensionsv1.CustomResourceDefinitionStatus {
	status := apiextensionsv1.CustomResourceDefinitionStatus{AcceptedNames: crd.Spec.Names}
	for _, v := range crd.Spec.Versions {
		if v.Storage {
			status.StoredVersions = []string{v.Name}
		}
	}
	for _, c := range []struct {
		is              apiextensionsv1.CustomResourceDefinitionConditionType
		reason, message string
	}{
		{apiextensionsv1.NamesAccepted, "NoConflicts", "no conflicts found"},
		{apiextensionsv1.Established, "InitialNamesAccepted", "the initial names have been accepted"},
	} {
		status.Conditions = append(status.Conditions, apiextensionsv1.CustomResourceDefinitionCondition{
			Type: c.is, Status: apiextensionsv1.ConditionTrue, LastTransitionTime: now, Reason: c.reason, Message: c.message,
		})
	}
	return status
}
