"""The open inference protocol by NVIDIA's client: pip install 'tritonclient[grpc]', and run this beside a server."""

import sys

import numpy as np
import tritonclient.grpc as triton

TEXTS = ["I loved every minute of it.", "A complete waste of two hours."]


def main() -> None:
    """Ask what there is, and classify two reviews."""
    target = sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"
    client = triton.InferenceServerClient(target)
    print("ready", client.is_server_ready(), client.is_model_ready("imdb-lstm"))
    print("server", client.get_server_metadata().name)
    print("versions", *client.get_model_metadata("imdb-lstm").versions)

    texts = triton.InferInput("text", [len(TEXTS)], "BYTES")
    texts.set_data_from_numpy(np.array(TEXTS, dtype=object))
    answer = client.infer("imdb-lstm", [texts])
    for text, label, probability in zip(
        TEXTS, answer.as_numpy("sentiment"), answer.as_numpy("positive_probability"), strict=True
    ):
        print(label.decode(), f"{probability:.3f}", text)


if __name__ == "__main__":
    main()
