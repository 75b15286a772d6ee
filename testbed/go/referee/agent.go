package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
)

// agent answers for secrets as pilot-agent does; every proxy gets the same identity.
type agent struct {
	secret.UnimplementedSecretDiscoveryServiceServer
	chain, key, root []byte
}

func serveAgent(folder, istiod string) error {
	var of agent
	for name, data := range map[string]*[]byte{"cert-chain.pem": &of.chain, "key.pem": &of.key, "root-cert.pem": &of.root} {
		found, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		*data = found
	}
	secrets, err := net.Listen("unix", filepath.Join(folder, "secrets.sock"))
	if err != nil {
		return err
	}
	for name, port := range map[string]string{"xds.sock": "15010", "debug.sock": "8080"} {
		relay, err := net.Listen("unix", filepath.Join(folder, name))
		if err != nil {
			return err
		}
		go lead(relay, net.JoinHostPort(istiod, port))
	}
	server := grpc.NewServer()
	secret.RegisterSecretDiscoveryServiceServer(server, &of)
	return server.Serve(secrets)
}

// StreamSecrets answers each request once: these secrets never change, and an acknowledgement asks for nothing.
func (of *agent) StreamSecrets(stream secret.SecretDiscoveryService_StreamSecretsServer) error {
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		if request.GetResponseNonce() != "" {
			continue
		}
		answer := &discovery.DiscoveryResponse{VersionInfo: "1", Nonce: "1", TypeUrl: request.GetTypeUrl()}
		for _, name := range request.GetResourceNames() {
			packed, err := anypb.New(of.named(name))
			if err != nil {
				return err
			}
			answer.Resources = append(answer.Resources, packed)
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// named makes a root of what is called one (ROOTCA, file-root:…, …-cacert) and a certificate of everything else.
func (of *agent) named(name string) *tls.Secret {
	if lower := strings.ToLower(name); strings.Contains(lower, "root") || strings.HasSuffix(lower, "-cacert") {
		return &tls.Secret{Name: name, Type: &tls.Secret_ValidationContext{
			ValidationContext: &tls.CertificateValidationContext{TrustedCa: inline(of.root)},
		}}
	}
	return &tls.Secret{Name: name, Type: &tls.Secret_TlsCertificate{
		TlsCertificate: &tls.TlsCertificate{CertificateChain: inline(of.chain), PrivateKey: inline(of.key)},
	}}
}

func inline(data []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: data}}
}

// lead carries bytes between each connection and istiod: a proxy in a network of its own reaches a socket file alone.
func lead(listener net.Listener, istiod string) {
	for {
		near, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		go func() {
			defer near.Close()
			far, err := net.Dial("tcp", istiod)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			defer far.Close()
			go func() {
				io.Copy(far, near)
				far.Close()
			}()
			io.Copy(near, far)
		}()
	}
}
