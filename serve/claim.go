package serve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/client-go/util/cert"
)

// claim writes which cluster CA the store belongs to, or refuses a server that
// has another: its tokens and certificates would be refused by the replicas
// beside it, and its controllers would publish its CA over theirs.
//
// The key is beside the prefix, for under it is for API objects alone. It is the
// CA's public key that counts, for a lost certificate is made again.
func (s *seeder) claim(ctx context.Context, caFile string) error {
	certs, err := cert.CertsFromFile(caFile)
	if err != nil {
		return fmt.Errorf("read cluster CA: %w", err)
	}
	sum := sha256.Sum256(certs[0].RawSubjectPublicKeyInfo)
	mine, key := hex.EncodeToString(sum[:]), "/gatehouse/cluster-ca"+s.prefix
	answer, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, mine)).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	if answer.Succeeded {
		return nil
	}
	if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) == 1 && string(kvs[0].Value) != mine {
		return &StartError{
			Problem: fmt.Sprintf("the store under %s belongs to servers with another cluster CA than %s", s.prefix, caFile),
			Mend: "a further replica starts with copies of the first one's folders pki and secret; an installation of its own takes another etcd.prefix; " +
				"after a change of the CA, delete " + key + " with etcdctl",
		}
	}
	return nil
}
