// Package mounts asks the same questions of every mount: of the API under
// gatehouse serve, of the webhook of gatehouse attach, and of the command line over
// the live cluster and over files. The answers must be the same.
package mounts
