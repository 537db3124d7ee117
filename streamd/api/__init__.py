"""The Rekognition API: requests in AWS's spelling to calls of the parts below, and back."""
