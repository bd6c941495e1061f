"""What requests, jobs and idle workers cost the parts that all hosts share."""
