"""Forecast tomorrow's temperature from the days before: dense, convolutional and recurrent models.

Run: python examples/timeseries_forecasting.py [--years 2] [--epochs 5]
"""

import argparse

import numpy as np

import torchkeras as keras
from torchkeras import layers

HOURS_AHEAD = 24


def make_weather(hours, seed=0):
    """Hourly temperature (degrees Celsius), pressure (hPa) and humidity (%): `(hours, 3)`.

    Years, days, and weather that comes and goes: pressure is slow noise that pulls the temperature
    with it two days later, so that there is something to learn.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(hours)
    drift = np.zeros(hours)
    noise = rng.normal(0, 0.09, hours)
    for hour in range(1, hours):
        drift[hour] = 0.985 * drift[hour - 1] + noise[hour]
    year = np.cos(2 * np.pi * (time / 24 - 200) / 365)
    day = np.cos(2 * np.pi * (time - 15) / 24)
    temperature = 10 + 9 * year + 4 * day + 7 * np.roll(drift, 48) + rng.normal(0, 0.4, hours)
    pressure = 1013 + 12 * drift + rng.normal(0, 0.5, hours)
    humidity = 65 - 12 * day - 8 * drift + rng.normal(0, 3, hours)
    return np.stack([temperature, pressure, humidity], axis=1).astype("float32")


def make_datasets(weather, window, batch_size):
    """Datasets for training, validation and test: the first half of the hours, and two quarters.

    The target of a window is the temperature `HOURS_AHEAD` after its last hour.
    """
    half, quarter = len(weather) // 2, len(weather) // 4
    mean, deviation = weather[:half].mean(0), weather[:half].std(0)
    data = (weather - mean) / deviation
    bounds = [(0, half), (half, half + quarter), (half + quarter, None)]
    datasets = [
        keras.utils.timeseries_dataset_from_array(
            data[:-HOURS_AHEAD],
            targets=weather[window - 1 + HOURS_AHEAD :, 0],
            sequence_length=window,
            batch_size=batch_size,
            shuffle=start == 0,
            seed=1,
            start_index=start,
            end_index=end,
        )
        for start, end in bounds
    ]
    return datasets, mean[0], deviation[0]


def no_change_error(dataset, mean, deviation):
    """Mean absolute error of saying that tomorrow is as today, at the same hour."""
    errors = [np.abs(x[:, -1, 0] * deviation + mean - y) for x, y in dataset.as_numpy_iterator()]
    return float(np.concatenate(errors).mean())


def dense(inputs):
    return layers.Dense(16, activation="relu")(layers.Flatten()(inputs))


def convolutional(inputs):
    x = layers.Conv1D(8, 24, activation="relu")(inputs)
    x = layers.MaxPooling1D(2)(x)
    x = layers.Conv1D(8, 12, activation="relu")(x)
    return layers.GlobalAveragePooling1D()(x)


def lstm(inputs):
    return layers.Dropout(0.2)(layers.LSTM(16)(inputs))


def stacked_gru(inputs):
    return layers.Dropout(0.2)(layers.GRU(16)(layers.GRU(16, return_sequences=True)(inputs)))


def bidirectional(inputs):
    return layers.Dropout(0.2)(layers.Bidirectional(layers.LSTM(8))(inputs))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--years", type=float, default=2)
    parser.add_argument("--window", type=int, default=72, help="hours that a model sees")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args(arguments)

    weather = make_weather(int(arguments.years * 365 * 24))
    (train, validation, test), mean, deviation = make_datasets(weather, arguments.window, 128)
    print(f"no change: {no_change_error(test, mean, deviation):.2f} degrees")
    for make in (dense, convolutional, lstm, stacked_gru, bidirectional):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((arguments.window, weather.shape[1]))
        outputs = layers.Dense(1)(make(inputs))
        # The model says by how many deviations the temperature is off its mean.
        outputs = layers.Rescaling(float(deviation), offset=float(mean))(outputs)
        model = keras.Model(inputs, outputs, name=make.__name__)
        model.compile(keras.optimizers.Adam(0.003), "mse", metrics=["mae"])
        model.fit(train, validation_data=validation, epochs=arguments.epochs, verbose=0)
        error = model.evaluate(test, return_dict=True, verbose=0)["mae"]
        print(f"{model.name}: {error:.2f} degrees")


if __name__ == "__main__":
    main()
