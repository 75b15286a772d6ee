package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	prefix    = "type.googleapis.com/"
	clusters  = prefix + "envoy.config.cluster.v3.Cluster"
	endpoints = prefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	listeners = prefix + "envoy.config.listener.v3.Listener"

	patience = 20 * time.Second
	// Proxies that are asked for at the same time.
	width = 16
	// A mesh of a hundred namespaces is some megabytes.
	limit = 64 << 20
)

// question is one proxy: its node as protobuf's JSON, whether its listeners are wanted too, and what the names of wanted clusters hold.
type question struct {
	Node      json.RawMessage `json:"node"`
	Listeners bool            `json:"listeners"`
	Only      string          `json:"only"`
}

// answer holds the resources that istiod sends, each as Envoy's own JSON with its "@type".
type answer struct {
	Version   string            `json:"version"`
	Clusters  []json.RawMessage `json:"clusters"`
	Endpoints []json.RawMessage `json:"endpoints"`
	Listeners []json.RawMessage `json:"listeners"`
	Error     string            `json:"error,omitempty"`
}

func askAll(istiod string) error {
	connection, err := grpc.NewClient("passthrough:///"+istiod,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limit)))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := discovery.NewAggregatedDiscoveryServiceClient(connection)
	// Answers wait in line: each slot is filled by whoever asks, and read in the order of the questions.
	waiting := make(chan chan answer, width)
	done := make(chan error, 1)
	go func() { done <- print(waiting) }()
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, limit)
	for scanner.Scan() {
		line := append([]byte(nil), scanner.Bytes()...)
		slot := make(chan answer, 1)
		go func() { slot <- askLine(client, line) }()
		waiting <- slot
	}
	close(waiting)
	if err := <-done; err != nil {
		return err
	}
	return scanner.Err()
}

func print(waiting <-chan chan answer) error {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for slot := range waiting {
		if err := out.Encode(<-slot); err != nil {
			return err
		}
	}
	return nil
}

func askLine(client discovery.AggregatedDiscoveryServiceClient, line []byte) answer {
	found, err := ask(client, line)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return found
}

// ask is a proxy's first minute: clusters, then the endpoints of those that want them from istiod, then listeners.
func ask(client discovery.AggregatedDiscoveryServiceClient, line []byte) (answer, error) {
	var asked question
	var found answer
	if err := json.Unmarshal(line, &asked); err != nil {
		return found, err
	}
	node := &core.Node{}
	if err := protojson.Unmarshal(asked.Node, node); err != nil {
		return found, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := client.StreamAggregatedResources(ctx)
	if err != nil {
		return found, err
	}
	got, err := fetch(stream, &discovery.DiscoveryRequest{Node: node, TypeUrl: clusters})
	if err != nil {
		return found, err
	}
	found.Version = got.GetVersionInfo()
	kept, names, err := wanted(got.GetResources(), asked.Only)
	if err != nil {
		return found, err
	}
	if found.Clusters, err = texts(kept); err != nil {
		return found, err
	}
	if len(names) > 0 {
		if got, err = fetch(stream, &discovery.DiscoveryRequest{TypeUrl: endpoints, ResourceNames: names}); err != nil {
			return found, err
		}
		if found.Endpoints, err = texts(got.GetResources()); err != nil {
			return found, err
		}
	}
	if asked.Listeners {
		if got, err = fetch(stream, &discovery.DiscoveryRequest{TypeUrl: listeners}); err != nil {
			return found, err
		}
		if found.Listeners, err = texts(got.GetResources()); err != nil {
			return found, err
		}
	}
	return found, nil
}

// fetch sends a request and waits for its answer; what istiod pushes of other types meanwhile is passed over.
func fetch(stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient, request *discovery.DiscoveryRequest) (*discovery.DiscoveryResponse, error) {
	if err := stream.Send(request); err != nil {
		return nil, err
	}
	for {
		got, err := stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", request.GetTypeUrl(), err)
		}
		if got.GetTypeUrl() == request.GetTypeUrl() {
			return got, nil
		}
	}
}

// wanted picks clusters by name, and names the endpoints of those that get them from istiod.
func wanted(resources []*anypb.Any, only string) (kept []*anypb.Any, names []string, err error) {
	for _, packed := range resources {
		found := &cluster.Cluster{}
		if err := packed.UnmarshalTo(found); err != nil {
			return nil, nil, err
		}
		if !strings.Contains(found.GetName(), only) {
			continue
		}
		kept = append(kept, packed)
		if found.GetType() != cluster.Cluster_EDS {
			continue
		}
		name := found.GetName()
		if other := found.GetEdsClusterConfig().GetServiceName(); other != "" {
			name = other
		}
		names = append(names, name)
	}
	return kept, names, nil
}

// texts writes resources as Envoy's admin interface does: fields by their protobuf names, packed ones with their type.
func texts(resources []*anypb.Any) ([]json.RawMessage, error) {
	found := make([]json.RawMessage, 0, len(resources))
	for _, packed := range resources {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(proto.Message(packed))
		if err != nil {
			return nil, err
		}
		found = append(found, text)
	}
	return found, nil
}
