package main

import (
	// The certificate authorities to trust where the system names none, as in the
	// container image. Where it has some, those count and these do not.
	_ "golang.org/x/crypto/x509roots/fallback"
)
