// Classifies reviews, and shows what a refusal says: docs/clients.md has the commands. Usage: client [TARGET]
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pb "example.com/sentiment"
)

func main() {
	target := "localhost:50051"
	if len(os.Args) > 1 {
		target = os.Args[1]
	}
	connection, err := grpc.Dial(target, grpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := pb.NewSentimentServiceClient(connection)
	for _, text := range []string{"I loved every minute of it.", "A complete waste of two hours.", " "} {
		fmt.Println(classify(client, text))
	}
}

// classify is the answer in one line, or what to change.
func classify(client pb.SentimentServiceClient, text string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	response, err := client.Classify(ctx, &pb.ClassifyRequest{Text: text})
	if err != nil {
		return refusal(err)
	}
	answer := response.Classification
	return fmt.Sprintf("%v %.1f%% %s", answer.Sentiment, 100*answer.PositiveProbability, text)
}

// refusal is the status code with its message or, of an invalid request, the fields to change.
func refusal(err error) string {
	answer := status.Convert(err)
	said := fmt.Sprintf("%v: %s", answer.Code(), answer.Message())
	for _, detail := range answer.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			said = answer.Code().String()
			for _, violation := range bad.FieldViolations {
				said += fmt.Sprintf(": %s %s", violation.Field, violation.Description)
			}
		}
	}
	return said
}
