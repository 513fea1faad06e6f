"""Keys for S3, and where a bucket is: what the user says, what is stored, and what the AWS SDKs would find."""
