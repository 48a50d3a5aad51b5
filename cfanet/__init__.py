"""The library: pictures in, pictures with other people's faces and face records out. No Ray, no SQL, no S3."""
