package redact

import (
	"bytes"
	"strings"
)

// normal is a key in lower case without what people put between its words, in buf. Keys
// that are longer than any word we look for are cut at the front.
func normal(key []byte, buf *[48]byte) []byte {
	if len(key) > 2*len(buf) {
		key = key[len(key)-2*len(buf):]
	}
	n := 0
	for _, c := range key {
		switch {
		case c == '-' || c == '_' || c == '.' || c == ' ':
			continue
		case c == '/':
			n = 0 // the prefix of an annotation's key
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		if n == len(buf) {
			copy(buf[:], buf[1:])
			n--
		}
		buf[n] = c
		n++
	}
	return buf[:n]
}

// credentials are keys whose text is a credential in whatever object they stand. None of
// them is a member of a role, a binding or a pod spec.
var credentials = map[string]bool{
	"password": true, "passwd": true, "passphrase": true, "token": true, "accesstoken": true, "refreshtoken": true,
	"idtoken": true, "bearertoken": true, "authtoken": true, "apitoken": true, "clientsecret": true, "secretkey": true,
	"secretaccesskey": true, "accesskeysecret": true, "awssecretaccesskey": true, "privatekey": true, "privatekeydata": true,
	"apikey": true, "apisecret": true, "clientkeydata": true, "sshprivatekey": true, "connectionstring": true,
	"dockerconfigjson": true, "dockercfg": true, "adminpassword": true, "rootpassword": true, "userpassword": true,
	"dbpassword": true, "databasepassword": true, "tokensecret": true, "sharedsecret": true, "webhooksecret": true,
	"encryptionkey": true, "signingkey": true, "credentialsjson": true, "serviceaccountjson": true, "kubeconfig": true,
}

// namesCredential reports whether a key of any object names a credential.
func namesCredential(key []byte) bool {
	if len(key) < len("token") {
		return false
	}
	var buf [48]byte
	return credentials[string(normal(key, &buf))]
}

// namesLabels reports whether the members of an object are labels, which replay reads.
func namesLabels(key []byte) bool {
	switch string(key) {
	case "labels", "matchLabels", "selector", "nodeSelector", "limits", "requests":
		return true
	}
	return false
}

// namesSetting reports whether a key of settings is named like a credential. It is the
// looser rule, for ConfigMaps and lines of settings.
func namesSetting(key string) bool {
	var buf [48]byte
	name := normal([]byte(key), &buf)
	switch string(name) {
	case "pass", "pwd", "auth", "authorization":
		return true
	}
	for _, suffix := range harmless {
		if bytes.HasSuffix(name, suffix) {
			return false
		}
	}
	for _, word := range suspect {
		if bytes.Contains(name, word) {
			return true
		}
	}
	for _, file := range []string{".key", ".p12", ".pfx", ".jks", ".keystore"} {
		if strings.HasSuffix(strings.ToLower(key), file) {
			return true
		}
	}
	return false
}

// harmless end keys that say something about a credential.
var harmless = texts("name", "ref", "path", "file", "dir", "url", "ttl", "type", "enabled", "length", "expiry", "expiration", "seconds", "issuer", "count", "max", "min")

// suspect are words in keys of credentials.
var suspect = texts("password", "passwd", "passphrase", "secret", "token", "credential", "privatekey", "apikey", "accesskey", "kubeconfig", "dockerconfig", "dockercfg", "clientkey", "connectionstring")

func texts(words ...string) (list [][]byte) {
	for _, w := range words {
		list = append(list, []byte(w))
	}
	return list
}
