"""What requests, jobs and idle workers cost the services that all hosts share."""
