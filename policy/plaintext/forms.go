package plaintext

import (
	"bytes"

	"github.com/google/osv-scalibr/veles"
	"github.com/google/osv-scalibr/veles/secrets/anthropicapikey"
	"github.com/google/osv-scalibr/veles/secrets/awsaccesskey"
	"github.com/google/osv-scalibr/veles/secrets/azurestorageaccountaccesskey"
	"github.com/google/osv-scalibr/veles/secrets/azuretoken"
	"github.com/google/osv-scalibr/veles/secrets/bitwardenoauth2access"
	"github.com/google/osv-scalibr/veles/secrets/circleci"
	"github.com/google/osv-scalibr/veles/secrets/cloudflareapitoken"
	"github.com/google/osv-scalibr/veles/secrets/cratesioapitoken"
	"github.com/google/osv-scalibr/veles/secrets/cursorapikey"
	"github.com/google/osv-scalibr/veles/secrets/denopat"
	"github.com/google/osv-scalibr/veles/secrets/digitaloceanapikey"
	"github.com/google/osv-scalibr/veles/secrets/discordbottoken"
	"github.com/google/osv-scalibr/veles/secrets/dockerhubpat"
	"github.com/google/osv-scalibr/veles/secrets/elasticcloudapikey"
	"github.com/google/osv-scalibr/veles/secrets/gcpapikey"
	"github.com/google/osv-scalibr/veles/secrets/gcpexpressmode"
	"github.com/google/osv-scalibr/veles/secrets/gcpoauth2access"
	"github.com/google/osv-scalibr/veles/secrets/gcpoauth2client"
	"github.com/google/osv-scalibr/veles/secrets/gcpsak"
	"github.com/google/osv-scalibr/veles/secrets/gcshmackey"
	"github.com/google/osv-scalibr/veles/secrets/gitbasicauth/bitbucket"
	"github.com/google/osv-scalibr/veles/secrets/gitbasicauth/codecatalyst"
	"github.com/google/osv-scalibr/veles/secrets/gitbasicauth/codecommit"
	"github.com/google/osv-scalibr/veles/secrets/github"
	"github.com/google/osv-scalibr/veles/secrets/gitlabpat"
	"github.com/google/osv-scalibr/veles/secrets/grokxaiapikey"
	"github.com/google/osv-scalibr/veles/secrets/hashicorpvault"
	"github.com/google/osv-scalibr/veles/secrets/hcp"
	"github.com/google/osv-scalibr/veles/secrets/herokuplatformkey"
	httpsecrets "github.com/google/osv-scalibr/veles/secrets/http"
	"github.com/google/osv-scalibr/veles/secrets/huggingfaceapikey"
	"github.com/google/osv-scalibr/veles/secrets/jwt"
	"github.com/google/osv-scalibr/veles/secrets/mistralapikey"
	"github.com/google/osv-scalibr/veles/secrets/npmjsaccesstoken"
	"github.com/google/osv-scalibr/veles/secrets/onepasswordkeys"
	"github.com/google/osv-scalibr/veles/secrets/openai"
	"github.com/google/osv-scalibr/veles/secrets/openrouter"
	"github.com/google/osv-scalibr/veles/secrets/packagist"
	"github.com/google/osv-scalibr/veles/secrets/paystacksecretkey"
	"github.com/google/osv-scalibr/veles/secrets/perplexityapikey"
	"github.com/google/osv-scalibr/veles/secrets/postmanapikey"
	"github.com/google/osv-scalibr/veles/secrets/privatekey"
	"github.com/google/osv-scalibr/veles/secrets/pypiapitoken"
	"github.com/google/osv-scalibr/veles/secrets/rubygemsapikey"
	"github.com/google/osv-scalibr/veles/secrets/salesforceoauth2access"
	"github.com/google/osv-scalibr/veles/secrets/salesforceoauth2client"
	"github.com/google/osv-scalibr/veles/secrets/salesforceoauth2jwt"
	"github.com/google/osv-scalibr/veles/secrets/salesforceoauth2refresh"
	"github.com/google/osv-scalibr/veles/secrets/sendgrid"
	"github.com/google/osv-scalibr/veles/secrets/slacktoken"
	"github.com/google/osv-scalibr/veles/secrets/squareapikey"
	"github.com/google/osv-scalibr/veles/secrets/stripeapikeys"
	"github.com/google/osv-scalibr/veles/secrets/supabase"
	"github.com/google/osv-scalibr/veles/secrets/telegrambotapitoken"
	"github.com/google/osv-scalibr/veles/secrets/tinkkeyset"
	"github.com/google/osv-scalibr/veles/secrets/urlcreds"
)

// known is a form of credentials.
type known struct {
	what string
	// holds are texts, in small letters, one of which every text with the form holds:
	// one that holds none need not be searched, which most expressions do slowly. nil
	// where there are no such texts.
	holds    []string
	detector veles.Detector
	// not says of what was found that it is none after all; nil for never.
	not func(found []byte) bool
}

// forms are those that are found without much doubt. Forms that ordinary settings
// have too, such as cookies, are left out.
func forms() []known {
	return []known{
		{"an Anthropic API key", []string{"sk-ant-"}, anthropicapikey.NewDetector(), nil},
		{"an AWS access key", []string{"akia", "asia"}, awsaccesskey.NewDetector(), nil},
		{"an Azure storage account key", []string{"=="}, azurestorageaccountaccesskey.NewDetector(), nil},
		{"an Azure token", nil, azuretoken.NewDetector(), nil},
		{"a Bitwarden access token", nil, bitwardenoauth2access.NewDetector(), nil},
		{"a CircleCI token", []string{"ccipat_"}, circleci.NewPersonalAccessTokenDetector(), nil},
		{"a CircleCI token", []string{"cciprj_"}, circleci.NewProjectTokenDetector(), nil},
		{"a Cloudflare token", []string{"cloudflare", "cf"}, cloudflareapitoken.NewDetector(), nil},
		{"a crates.io token", []string{"cio"}, cratesioapitoken.NewDetector(), nil},
		{"a Cursor API key", []string{"key_"}, cursorapikey.NewDetector(), nil},
		{"a Deno token", []string{"ddp_"}, denopat.NewUserTokenDetector(), nil},
		{"a Deno token", []string{"ddo_"}, denopat.NewOrgTokenDetector(), nil},
		{"a DigitalOcean token", []string{"dop_v1_"}, digitaloceanapikey.NewDetector(), nil},
		{"a Discord token", []string{"discord"}, discordbottoken.NewDetector(), nil},
		{"a Docker Hub token", []string{"dckr_pat_"}, dockerhubpat.NewDetector(), nil},
		{"an Elastic Cloud key", nil, elasticcloudapikey.NewDetector(), nil},
		{"a Google API key", []string{"aiza"}, gcpapikey.NewDetector(), nil},
		{"a Google Cloud key", nil, gcpexpressmode.NewDetector(), nil},
		{"a Google OAuth token", []string{"ya29."}, gcpoauth2access.NewDetector(), nil},
		{"a Google OAuth client secret", []string{"gocspx-", "googleusercontent"}, gcpoauth2client.NewDetector(), nil},
		{"a Google service account key", nil, gcpsak.NewDetector(), nil},
		{"a Google Cloud Storage key", nil, gcshmackey.NewDetector(), nil},
		{"Git credentials", []string{"bitbucket.org"}, bitbucket.NewDetector(), nil},
		{"Git credentials", []string{"codecatalyst.aws"}, codecatalyst.NewDetector(), nil},
		{"Git credentials", []string{"git-codecommit"}, codecommit.NewDetector(), nil},
		{"a GitHub token", []string{"ghs_", "z2h"}, github.NewAppS2STokenDetector(), nil},
		{"a GitHub token", []string{"ghu_", "z2h"}, github.NewAppU2SDetector(), nil},
		{"a GitHub token", []string{"ghr_", "z2h"}, github.NewAppRefreshTokenDetector(), nil},
		{"a GitHub token", []string{"ghp_", "z2h"}, github.NewClassicPATDetector(), nil},
		{"a GitHub token", []string{"gho_", "z2h"}, github.NewOAuthTokenDetector(), nil},
		{"a GitHub token", []string{"github_pat_"}, github.NewFineGrainedPATDetector(), nil},
		{"a GitLab token", []string{"glpat-"}, gitlabpat.NewDetector(), nil},
		{"an xAI key", nil, grokxaiapikey.NewAPIKeyDetector(), nil},
		{"an xAI key", nil, grokxaiapikey.NewManagementKeyDetector(), nil},
		{"a Vault token", nil, hashicorpvault.NewTokenDetector(), nil},
		{"a HashiCorp Cloud token", []string{"hcp_client", "hcp"}, hcp.NewAccessTokenDetector(), nil},
		{"a HashiCorp Cloud credential", []string{"hcp_client", "hcp"}, hcp.NewPairDetector(), nil},
		{"a Heroku key", []string{"hrku-"}, herokuplatformkey.NewSecretKeyDetector(), nil},
		{"an HTTP bearer token", []string{"bearer"}, httpsecrets.NewBearerDetector(), nil},
		{"HTTP credentials", []string{"basic"}, httpsecrets.NewBasicAuthDetector(), nil},
		{"a Hugging Face token", []string{"hf_"}, huggingfaceapikey.NewDetector(), nil},
		{"a JSON Web Token", []string{"eyj"}, jwt.NewDetector(), nil},
		{"a Mistral key", []string{"mistral"}, mistralapikey.NewDetector(), nil},
		{"an npm token", []string{"npm_"}, npmjsaccesstoken.NewDetector(), nil},
		{"a 1Password key", nil, onepasswordkeys.NewSecretKeyDetector(), nil},
		{"a 1Password token", nil, onepasswordkeys.NewServiceTokenDetector(), nil},
		{"a 1Password token", nil, onepasswordkeys.NewRecoveryTokenDetector(), nil},
		{"an OpenAI key", nil, openai.NewDetector(), nil},
		{"an OpenRouter key", []string{"sk-or-"}, openrouter.NewDetector(), nil},
		{"a Packagist token", []string{"packagist_"}, packagist.NewOrgReadTokenDetector(), nil},
		{"a Packagist token", []string{"packagist_"}, packagist.NewOrgUpdateTokenDetector(), nil},
		{"a Packagist token", []string{"packagist_"}, packagist.NewUserUpdateTokenDetector(), nil},
		{"a Packagist token", []string{"packagist_"}, packagist.NewConductorUpdateTokenDetector(), nil},
		{"a Paystack key", []string{"sk_"}, paystacksecretkey.NewSecretKeyDetector(), nil},
		{"a Perplexity key", []string{"pplx-"}, perplexityapikey.NewDetector(), nil},
		{"a Postman key", []string{"pmak-"}, postmanapikey.NewAPIKeyDetector(), nil},
		{"a Postman token", []string{"pmat-"}, postmanapikey.NewCollectionTokenDetector(), nil},
		{"a private key", nil, privatekey.NewDetector(), nil},
		{"a PyPI token", []string{"pypi-"}, pypiapitoken.NewDetector(), nil},
		{"a RubyGems key", []string{"rubygems_"}, rubygemsapikey.NewDetector(), nil},
		{"a Salesforce token", []string{"00d"}, salesforceoauth2access.NewDetector(), nil},
		{"a Salesforce client secret", []string{"3mvg"}, salesforceoauth2client.NewDetector(), nil},
		{"a Salesforce token", []string{"3mvg"}, salesforceoauth2jwt.NewDetector(), nil},
		{"a Salesforce token", []string{"3mvg"}, salesforceoauth2refresh.NewDetector(), nil},
		{"a SendGrid key", []string{"sg."}, sendgrid.NewDetector(), nil},
		{"a Slack token", []string{"xapp-"}, slacktoken.NewAppLevelTokenDetector(), nil},
		{"a Slack token", []string{"xoxe.xox"}, slacktoken.NewAppConfigAccessTokenDetector(), nil},
		{"a Slack token", []string{"xoxe-"}, slacktoken.NewAppConfigRefreshTokenDetector(), nil},
		{"a Square token", nil, squareapikey.NewPersonalAccessTokenDetector(), nil},
		{"a Square secret", nil, squareapikey.NewOAuthApplicationSecretDetector(), nil},
		{"a Stripe key", []string{"sk_"}, stripeapikeys.NewSecretKeyDetector(), nil},
		{"a Stripe key", []string{"rk_"}, stripeapikeys.NewRestrictedKeyDetector(), nil},
		{"a Stripe webhook secret", []string{"whsec_"}, stripeapikeys.NewWebhookSecretDetector(), nil},
		{"a Supabase token", []string{"sbp_"}, supabase.NewPATDetector(), nil},
		{"a Supabase key", []string{"sb_secret_"}, supabase.NewProjectSecretKeyDetector(), nil},
		{"a Telegram token", []string{"telegram", "tgram"}, telegrambotapitoken.NewDetector(), nil},
		{"a Tink key set", []string{"primarykeyid", "dhlwzs5nb29nbgvhcglz", "r5cguuz29vz2xlyxbpcy5jb20", "0exblmdvb2dszwfwaxmuy29t"}, tinkkeyset.NewDetector(), nil},
		{"a password in a URL", []string{"://"}, urlcreds.NewDetector(), noPassword},
	}
}

// noPassword reports whether a URL has a user and no password, or a reference to one
// in its place: $(PASSWORD), ${PASSWORD}, {{ .password }}, <password>.
func noPassword(url []byte) bool {
	_, rest, _ := bytes.Cut(url, []byte("://"))
	account, _, _ := bytes.Cut(rest, []byte("@"))
	_, password, has := bytes.Cut(account, []byte(":"))
	return !has || len(password) == 0 || bytes.ContainsAny(password[:1], "${<%*")
}
