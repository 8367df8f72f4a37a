// Package check tests the Helm chart beside it: `make helm-test`. It is a module of
// its own, so that Kubernetes' libraries are none of the program's.
package check
