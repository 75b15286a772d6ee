// Command referee speaks gRPC for the testbed's referees: as a proxy's agent, and as many proxies that ask istiod.
//
//	referee agent FOLDER HOST    serve the certificates in FOLDER on FOLDER/secrets.sock; lead FOLDER/xds.sock and
//	                             FOLDER/debug.sock to the istiod at HOST
//	referee ask HOST:PORT        read proxies from stdin, a JSON object a line; print what istiod sends to each, in the same order
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "agent":
		return serveAgent(args[1], args[2])
	case len(args) == 2 && args[0] == "ask":
		return askAll(args[1])
	}
	return fmt.Errorf("usage: referee agent FOLDER HOST | referee ask HOST:PORT")
}
