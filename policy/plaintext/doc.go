// Package plaintext finds credentials in text that should hold none: ConfigMaps,
// environment variables, arguments.
//
//	for _, f := range plaintext.Find("db.properties", text, plaintext.Options{}) {
//		fmt.Println(f.What, f.Line, f.Column) // "a GitHub token" 3 12
//	}
//
// Two things are looked for. Credentials of a known form, such as a GitHub token or a
// private key, by the detectors of osv-scalibr (veles): they are found wherever they
// stand. And values with the randomness of a generated secret under a name that says
// that it is one: password, token, apiKey.
//
// Invariants: a Finding says what and where, never the value nor a part of it. Text of
// any size and content is searched in time that grows with its length alone.
package plaintext
