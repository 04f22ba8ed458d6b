BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'first');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'config','{"name": "first", "data": "digits", "seed": 0, "families": ["lenet"], "sampler": "random", "pruner": "none", "portfolio": true, "repeats": 1, "data_dir": null, "image_size": null, "validation_share": 0.1, "max_bad_images": 0.01, "trials": 2, "time_s": null, "epochs": 2, "max_params": null, "max_flops": null, "max_memory": null, "max_latency": null, "executor": "in-process", "workers": null, "threads": 1, "gpus_per_trial": "auto", "device": "auto", "precision": "float32", "deterministic": false, "ensemble_size": 5, "space": {"lenet.width": 4, "recipe.batch_size": 256}}');
INSERT INTO "study_user_attributes" VALUES(2,1,'fingerprint','"2494e7a29ffffe5112e6522d5ae09de6787b47c24e6ebd31a0f852b4d9c2ba91"');
INSERT INTO "study_user_attributes" VALUES(3,1,'schema','1');
INSERT INTO "study_user_attributes" VALUES(4,1,'runs','[[1795279908.1505373, 1795279927.866022]]');
INSERT INTO "study_user_attributes" VALUES(5,1,'test_openings','[1795279911.9370677]');
INSERT INTO "study_user_attributes" VALUES(6,1,'outcome','{"study": "first", "state_counts": {"completed": 2}, "best": 0, "ensemble": {"members": [{"number": 0, "weight": 1.0}], "score": {"accuracy": 0.3916083916083916, "nll": 1.998443136730874}, "single": {"accuracy": 0.3916083916083916, "nll": 1.998443136730874}}, "report": [{"name": "best single", "split": "validation", "accuracy": 0.3916083916083916, "low": 0.31544503384042477, "high": 0.47344292567069923, "images": 143}, {"name": "ensemble", "split": "validation", "accuracy": 0.3916083916083916, "low": 0.31544503384042477, "high": 0.47344292567069923, "images": 143}, {"name": "best single", "split": "test", "accuracy": 0.36768802228412256, "low": 0.3194561041507598, "high": 0.41872155529100136, "images": 359}, {"name": "ensemble", "split": "test", "accuracy": 0.36768802228412256, "low": 0.3194561041507598, "high": 0.41872155529100136, "images": 359}], "export": "/runs/studies/first/export"}');
INSERT INTO "study_user_attributes" VALUES(7,1,'tracking.metrics','{"best_single.validation_accuracy": 0.3916083916083916, "ensemble.validation_accuracy": 0.3916083916083916, "best_single.test_accuracy": 0.36768802228412256, "ensemble.test_accuracy": 0.36768802228412256}');
INSERT INTO "study_user_attributes" VALUES(8,1,'tracking.description','"Data `digits`, 2 trials.\n\n| model | split | accuracy | 95 % interval |\n|---|---|---|---|\n| best single | validation | 0.3916 | 0.3154 to 0.4734 |\n| ensemble | validation | 0.3916 | 0.3154 to 0.4734 |\n| best single | test | 0.3677 | 0.3195 to 0.4187 |\n| ensemble | test | 0.3677 | 0.3195 to 0.4187 |\n\nEnsemble: trial 0 (100%).\n\nExport: `/runs/studies/first/export`"');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,2.16783216783216770018e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,2,3.9160839160839161499e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,2,1,1.11888111888111888014e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,2,0.0979020979020979,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'lenet.activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "leaky_relu", "elu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(2,1,'lenet.norm_placement',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["before", "after", "none"]}}');
INSERT INTO "trial_params" VALUES(3,1,'lenet.dropout_kind',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "element", "spatial"]}}');
INSERT INTO "trial_params" VALUES(4,1,'lenet.head_dropout',0.0,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(5,1,'lenet.depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(6,1,'lenet.growth',2.0,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 2.5, "log": false}}');
INSERT INTO "trial_params" VALUES(7,1,'lenet.kernel_size',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(8,1,'lenet.pool',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(9,1,'lenet.hidden',128.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 32, "high": 256}}');
INSERT INTO "trial_params" VALUES(10,1,'recipe.schedule',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["cosine", "linear", "one_cycle"]}}');
INSERT INTO "trial_params" VALUES(11,1,'recipe.warmup',0.1,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.3, "log": false}}');
INSERT INTO "trial_params" VALUES(12,1,'recipe.clipping',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "norm"]}}');
INSERT INTO "trial_params" VALUES(13,1,'recipe.averaging',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "ema"]}}');
INSERT INTO "trial_params" VALUES(14,1,'recipe.label_smoothing',0.05,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(15,1,'recipe.optimizer',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "muon", "sgd"]}}');
INSERT INTO "trial_params" VALUES(16,1,'muon.learning_rate',0.02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.004, "high": 0.06, "log": true}}');
INSERT INTO "trial_params" VALUES(17,1,'muon.weight_decay',0.05,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.3, "log": true}}');
INSERT INTO "trial_params" VALUES(18,1,'muon.momentum',0.9,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.6, "high": 0.98, "log": false}}');
INSERT INTO "trial_params" VALUES(19,1,'recipe.augmentation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["crop", "none"]}}');
INSERT INTO "trial_params" VALUES(20,1,'crop.share',0.125,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.05, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(21,1,'recipe.distortion',5.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["affine", "color_jitter", "cutmix", "cutout", "mixup", "none", "rand_augment", "random_erasing", "trivial_augment"]}}');
INSERT INTO "trial_params" VALUES(22,2,'lenet.activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "leaky_relu", "elu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(23,2,'lenet.norm_placement',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["before", "after", "none"]}}');
INSERT INTO "trial_params" VALUES(24,2,'lenet.dropout_kind',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "element", "spatial"]}}');
INSERT INTO "trial_params" VALUES(25,2,'lenet.dropout',2.2130487509918989053e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.05, "high": 0.3, "log": false}}');
INSERT INTO "trial_params" VALUES(26,2,'lenet.head_dropout',1.02226124865758716264e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.5, "log": false}}');
INSERT INTO "trial_params" VALUES(27,2,'lenet.depth',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 4}}');
INSERT INTO "trial_params" VALUES(28,2,'lenet.growth',1.04108138979688913394e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1.0, "high": 2.5, "log": false}}');
INSERT INTO "trial_params" VALUES(29,2,'lenet.kernel_size',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(30,2,'lenet.pool',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(31,2,'lenet.hidden',48.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 32, "high": 256}}');
INSERT INTO "trial_params" VALUES(32,2,'recipe.schedule',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["cosine", "linear", "one_cycle"]}}');
INSERT INTO "trial_params" VALUES(33,2,'recipe.warmup',2.0769678470079422361e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.3, "log": false}}');
INSERT INTO "trial_params" VALUES(34,2,'recipe.clipping',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "norm"]}}');
INSERT INTO "trial_params" VALUES(35,2,'recipe.clip_norm',4.04234407245937621411e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.3, "high": 10.0, "log": true}}');
INSERT INTO "trial_params" VALUES(36,2,'recipe.averaging',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "ema"]}}');
INSERT INTO "trial_params" VALUES(37,2,'recipe.ema_decay',9.93028982668041182435e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.95, "high": 0.999, "log": false}}');
INSERT INTO "trial_params" VALUES(38,2,'recipe.label_smoothing',1.96693667666100191482e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(39,2,'recipe.optimizer',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "muon", "sgd"]}}');
INSERT INTO "trial_params" VALUES(40,2,'muon.learning_rate',2.6047774135420358188e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.004, "high": 0.06, "log": true}}');
INSERT INTO "trial_params" VALUES(41,2,'muon.weight_decay',6.04742478837802174829e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.3, "log": true}}');
INSERT INTO "trial_params" VALUES(42,2,'muon.momentum',8.60870352519001791335e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.6, "high": 0.98, "log": false}}');
INSERT INTO "trial_params" VALUES(43,2,'recipe.augmentation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["crop", "none"]}}');
INSERT INTO "trial_params" VALUES(44,2,'crop.share',1.62521647241745142986e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.05, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(45,2,'recipe.distortion',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["affine", "color_jitter", "cutmix", "cutout", "mixup", "none", "rand_augment", "random_erasing", "trivial_augment"]}}');
INSERT INTO "trial_params" VALUES(46,2,'affine.rotation',4.34051429812899769444e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 2.0, "high": 20.0, "log": false}}');
INSERT INTO "trial_params" VALUES(47,2,'affine.scale',4.84173946757426865161e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.25, "log": false}}');
INSERT INTO "trial_params" VALUES(48,2,'affine.shear',2.03650659881967288633e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.3, "log": false}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"lenet.activation": "relu", "lenet.norm_placement": "before", "lenet.dropout_kind": "none", "lenet.head_dropout": 0.0, "lenet.depth": 3, "lenet.growth": 2.0, "lenet.kernel_size": 5, "lenet.pool": "max", "lenet.hidden": 128, "recipe.schedule": "cosine", "recipe.warmup": 0.1, "recipe.clipping": "none", "recipe.averaging": "none", "recipe.label_smoothing": 0.05, "recipe.optimizer": "muon", "muon.learning_rate": 0.02, "muon.weight_decay": 0.05, "muon.momentum": 0.9, "recipe.augmentation": "crop", "crop.share": 0.125, "recipe.distortion": "none"}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'complexity','{"params": 18852, "flops": 46468, "activations": 676, "peak_train_bytes": 1953544}');
INSERT INTO "trial_user_attributes" VALUES(2,1,'config','{"number": 0, "attempt": 1, "dataset": "2494e7a29ffffe5112e6522d5ae09de6787b47c24e6ebd31a0f852b4d9c2ba91", "seed": 0, "architecture": {"name": "lenet", "activation": "relu", "norm_placement": "before", "norm": "batch", "init": "he", "dropout_kind": "none", "dropout": 0.1, "head_dropout": 0.0, "width": 4, "depth": 3, "growth": 2.0, "kernel_size": 5, "padding": "same", "pool": "max", "hidden": 128}, "recipe": {"name": "recipe", "optimizer": {"name": "muon", "learning_rate": 0.02, "weight_decay": 0.05, "momentum": 0.9}, "augmentation": {"name": "crop", "share": 0.125}, "distortion": {"name": "none"}, "epochs": 2, "precision": "float32", "batch_size": 256, "schedule": "cosine", "warmup": 0.1, "clipping": "none", "clip_norm": 1.0, "averaging": "none", "ema_decay": 0.99, "loss": "cross_entropy", "focal_gamma": 2.0, "class_weights": "none", "label_smoothing": 0.05}}');
INSERT INTO "trial_user_attributes" VALUES(3,1,'measurement:0001','{"epoch": 1, "train_loss": 2.198680877685547, "val_loss": 2.2048635452504555, "val_accuracy": 0.21678321678321677, "learning_rate": 0.011736481776669304, "elapsed_s": 1.8165940559993032, "images_per_s": 713.7824645773931, "precision": "float32 channels-last"}');
INSERT INTO "trial_user_attributes" VALUES(4,1,'measurement:0002','{"epoch": 2, "train_loss": 1.7978019714355469, "val_loss": 1.998443136730874, "val_accuracy": 0.3916083916083916, "learning_rate": 0.0, "elapsed_s": 2.2215019799987203, "images_per_s": 3398.904723300681, "precision": "float32 channels-last"}');
INSERT INTO "trial_user_attributes" VALUES(5,1,'ended','{"state": "completed", "reason": "trained all its epochs"}');
INSERT INTO "trial_user_attributes" VALUES(6,2,'complexity','{"params": 2825, "flops": 7576, "activations": 433, "peak_train_bytes": 1023896}');
INSERT INTO "trial_user_attributes" VALUES(7,2,'config','{"number": 1, "attempt": 1, "dataset": "2494e7a29ffffe5112e6522d5ae09de6787b47c24e6ebd31a0f852b4d9c2ba91", "seed": 1, "architecture": {"name": "lenet", "activation": "leaky_relu", "norm_placement": "none", "norm": "batch", "init": "he", "dropout_kind": "element", "dropout": 0.2213048750991899, "head_dropout": 0.10222612486575872, "width": 4, "depth": 4, "growth": 1.0410813897968891, "kernel_size": 3, "padding": "same", "pool": "max", "hidden": 48}, "recipe": {"name": "recipe", "optimizer": {"name": "muon", "learning_rate": 0.026047774135420358, "weight_decay": 0.006047424788378022, "momentum": 0.8608703525190018}, "augmentation": {"name": "crop", "share": 0.16252164724174514}, "distortion": {"name": "affine", "rotation": 4.340514298128998, "scale": 0.004841739467574269, "shear": 0.2036506598819673}, "epochs": 2, "precision": "float32", "batch_size": 256, "schedule": "linear", "warmup": 0.20769678470079422, "clipping": "norm", "clip_norm": 0.4042344072459376, "averaging": "ema", "ema_decay": 0.9930289826680412, "loss": "cross_entropy", "focal_gamma": 2.0, "class_weights": "none", "label_smoothing": 0.01966936676661002}}');
INSERT INTO "trial_user_attributes" VALUES(8,2,'measurement:0001','{"epoch": 1, "train_loss": 2.306727170944214, "val_loss": 2.2959867529333886, "val_accuracy": 0.11188811188811189, "learning_rate": 0.016438008601027617, "elapsed_s": 0.11518697800056543, "images_per_s": 12806.312406540357, "precision": "float32 channels-last"}');
INSERT INTO "trial_user_attributes" VALUES(9,2,'measurement:0002','{"epoch": 2, "train_loss": 2.2931554317474365, "val_loss": 2.2881722125113115, "val_accuracy": 0.0979020979020979, "learning_rate": 0.0, "elapsed_s": 0.1977021140010038, "images_per_s": 16795.988645470472, "precision": "float32 channels-last"}');
INSERT INTO "trial_user_attributes" VALUES(10,2,'ended','{"state": "completed", "reason": "trained all its epochs"}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,3.9160839160839161499e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,1.11888111888111888014e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-21 16:51:49.174290','2026-11-21 16:51:51.605840');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-21 16:51:51.626599','2026-11-21 16:51:51.916719');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
