package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// KubeconfigName is the name of the cluster, user and context that are ours in
// a kubeconfig.
const KubeconfigName = "gatehouse"

// kubeEntry is what is ours in a kubeconfig.
type kubeEntry struct {
	server        string
	ca, cert, key []byte
}

// readKubeconfig reads a kubeconfig; nil where there is no file or it is empty.
func readKubeconfig(path string) (*clientcmdapi.Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &FileError{Verb: "read kubeconfig", File: path, Err: bare(err), Mend: otherFile}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		// The decoder quotes its input, which may be a key.
		return nil, &FileError{
			Verb: "read kubeconfig",
			File: path,
			Err:  errNotKubeconfig,
			Mend: otherFile,
		}
	}
	return config, nil
}

// otherFile is the mend of a path where something else lies.
const otherFile = "choose another file, or move it away"

var errNotKubeconfig = errors.New("is not a kubeconfig")

// entryOf is what is ours in config, if it is all there and inline, and the
// context leads to it.
func entryOf(config *clientcmdapi.Config) (*kubeEntry, bool) {
	if config == nil {
		return nil, false
	}
	cluster, user, ctx := config.Clusters[KubeconfigName], config.AuthInfos[KubeconfigName], config.Contexts[KubeconfigName]
	if cluster == nil || user == nil || ctx == nil ||
		ctx.Cluster != KubeconfigName || ctx.AuthInfo != KubeconfigName ||
		cluster.InsecureSkipTLSVerify {
		return nil, false
	}
	return &kubeEntry{
		server: cluster.Server,
		ca:     cluster.CertificateAuthorityData,
		cert:   user.ClientCertificateData,
		key:    user.ClientKeyData,
	}, true
}

// into puts the entry into config, which may be nil, and encodes the whole. The
// namespace of a context of ours stays, since it is the user's choice, and so
// does the current context where there is one.
func (e *kubeEntry) into(config *clientcmdapi.Config) ([]byte, error) {
	if config == nil {
		config = clientcmdapi.NewConfig()
	}
	// A kubeconfig may leave any of its lists out.
	config = config.DeepCopy()
	if config.Clusters == nil {
		config.Clusters = map[string]*clientcmdapi.Cluster{}
	}
	if config.AuthInfos == nil {
		config.AuthInfos = map[string]*clientcmdapi.AuthInfo{}
	}
	if config.Contexts == nil {
		config.Contexts = map[string]*clientcmdapi.Context{}
	}
	cluster, user, ctx := clientcmdapi.NewCluster(), clientcmdapi.NewAuthInfo(), clientcmdapi.NewContext()
	cluster.Server = e.server
	cluster.CertificateAuthorityData = e.ca
	user.ClientCertificateData = e.cert
	user.ClientKeyData = e.key
	ctx.Cluster = KubeconfigName
	ctx.AuthInfo = KubeconfigName
	if old := config.Contexts[KubeconfigName]; old != nil {
		ctx.Namespace = old.Namespace
	}
	config.Clusters[KubeconfigName] = cluster
	config.AuthInfos[KubeconfigName] = user
	config.Contexts[KubeconfigName] = ctx
	if config.CurrentContext == "" {
		config.CurrentContext = KubeconfigName
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encode kubeconfig: %w", err)
	}
	return data, nil
}

// write puts the entry into have and the result at path. Where path is a link
// the file it leads to is replaced, and not the link.
func (e *kubeEntry) write(path string, have *clientcmdapi.Config) error {
	data, err := e.into(have)
	if err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := writeFile(path, data); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
