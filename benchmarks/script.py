"""The script that one would write, one side of `end_to_end.py` and `head_only.py`: images from a directory, a frozen
base, a new head, fit. `python benchmarks/script.py PHOTOS WEIGHTS EPOCHS` runs it; nothing is tested or exported.
"""

import sys

SIZE = 299
BATCH = 16
RATE = 0.001
HIDDEN = 1024
VALIDATION = 0.385  # share of the photos


def train(photos: str, weights: str | None, epochs: int) -> float:
    """Train a head on InceptionV3; returns the accuracy on the validation photos."""
    import keras

    training, validation = keras.utils.image_dataset_from_directory(
        photos, image_size=(SIZE, SIZE), batch_size=BATCH, validation_split=VALIDATION, subset="both", seed=0,
        verbose=False,
    )  # fmt: skip
    base = keras.applications.InceptionV3(include_top=False, weights=weights, input_shape=(SIZE, SIZE, 3))
    base.trainable = False
    image = keras.Input((SIZE, SIZE, 3))
    x = base(keras.applications.inception_v3.preprocess_input(image), training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(HIDDEN, activation="relu")(x)
    model = keras.Model(image, keras.layers.Dense(len(training.class_names), activation="softmax")(x))
    model.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(training, validation_data=validation, epochs=epochs, verbose=0)
    return float(model.evaluate(validation, verbose=0)[1])


if __name__ == "__main__":
    print(train(sys.argv[1], sys.argv[2], int(sys.argv[3])))
