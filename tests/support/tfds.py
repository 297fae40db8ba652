"""Small datasets of TensorFlow Datasets, built on disk."""


def build_tfds(folder, set_name, label_feature, splits, num_shards=4, image_shape=(8, 8, 1)):
    """Build a dataset of TensorFlow Datasets on disk.

    `splits` maps the name of a split to its `(image, label)` pairs.
    """
    import tensorflow_datasets as tfds

    class Builder(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        name = set_name

        def _info(self):
            features = {"image": tfds.features.Image(shape=image_shape), "label": label_feature}
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager):
            return {split: self._part(examples) for split, examples in splits.items()}

        def _part(self, examples):
            for i, (image, label) in enumerate(examples):
                yield i, {"image": image, "label": label}

        def _generate_examples(self):
            raise NotImplementedError

    Builder(data_dir=folder).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=num_shards)
    )
