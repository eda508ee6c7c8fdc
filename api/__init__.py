"""What answers: GraphQL over HTTP and websockets, health, metrics, and the command line."""
