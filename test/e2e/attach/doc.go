// Package attach tests the attach mount where it belongs: behind the webhooks of
// a stock kube-apiserver over a stock etcd, with the real kubectl.
//
//	go test ./test/e2e/attach
//
// The API server has no authorizer of its own but the webhook, so that every
// verdict is Gatehouse's. The stock programs are built from test/oracle where
// they are missing, and kept in the user's cache directory (or in
// $GATEHOUSE_ORACLE_DIR), so that a later run does not build them again.
package attach
