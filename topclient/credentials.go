package topclient

// Secret is a text that prints as [redacted].
type Secret string

// Credentials are one merchant's: whose app calls, on whose behalf.
type Credentials struct {
	AppKey    string
	AppSecret Secret
	Session   Secret
}

// CredentialSource gives the credentials of the moment and tells of changes.
type CredentialSource struct{}

// Current returns the newest credentials read.
func (s *CredentialSource) Current() Credentials { panic("unwritten") }

// Changed is signalled (capacity 1, never closed) after credentials changed.
func (s *CredentialSource) Changed() <-chan struct{} { panic("unwritten") }
