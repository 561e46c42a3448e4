// Package tokenfile answers: whose token is this? It reads a static token file
// in upstream's format and keeps up with it.
//
//	tokens, err := tokenfile.New("tokens.csv", tokenfile.Options{})
//	if err != nil { ... } // *authn.FileError: file, line, hint
//	go tokens.Run(ctx)
//	resp, ok, err := tokens.AuthenticateToken(ctx, token)
//
// The file is CSV, one token a line: token,user,uid,"group1,group2". It means
// what it means to a stock kube-apiserver (--token-auth-file), which reads it
// once at start; here a changed file counts within a second, and a token that
// was taken out is refused from then on.
//
// Invariants:
//   - The file is taken whole or not at all: with one bad line, or unreadable,
//     the tokens that were last good stay in force and the error is reported.
//   - Tokens are kept and looked up by their SHA-256, so the time a lookup takes
//     says nothing about a token's text, and no token stays in memory.
//   - No error, warning or log line holds a token, or any other text of the file.
//
// Upstream's own reader is not called: it keeps tokens as they are and its
// errors name no line. Its authenticator is, over tokens read here; a fuzz test
// holds that both accept the same files and give the same users.
//
// Do not put a token cache (k8s.io/apiserver/pkg/authentication/token/cache)
// with a long lifetime in front: it would keep a removed token alive for that
// long. A kube-apiserver's is ten seconds.
package tokenfile
