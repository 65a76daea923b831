// Loads models in the real TensorFlow.js, predicts, trains one step, and saves them again.
//
// node predict.js REQUEST: a JSON file {modules, jobs: [{folder, inputs: [{dtype, shape, values}], y?, resave?}]}.
// Prints one JSON object: folder -> {outputs, loss?, weights?} or {error}.
const fs = require('fs');
const path = require('path');

const request = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
console.warn = () => {};
console.log = () => {};
console.info = () => {};
const tf = require(path.join(request.modules, '@tensorflow', 'tfjs'));

function reader(folder) {
  return {
    load: async () => {
      const description = JSON.parse(fs.readFileSync(path.join(folder, 'model.json'), 'utf8'));
      const groups = description.weightsManifest;
      const parts = groups.flatMap(g => g.paths.map(p => fs.readFileSync(path.join(folder, p))));
      const bytes = Buffer.concat(parts);
      return {
        modelTopology: description.modelTopology,
        format: description.format,
        weightSpecs: groups.flatMap(g => g.weights),
        weightData: new Uint8Array(bytes).buffer,
        trainingConfig: description.trainingConfig,
        userDefinedMetadata: description.userDefinedMetadata,
      };
    },
  };
}

function writer(folder) {
  return {
    save: async artifacts => {
      fs.mkdirSync(folder, {recursive: true});
      const { weightSpecs, weightData, ...rest } = artifacts;
      rest.weightsManifest = [{paths: ['weights.bin'], weights: weightSpecs}];
      const parts = Array.isArray(weightData) ? weightData : [weightData];
      fs.writeFileSync(path.join(folder, 'weights.bin'), Buffer.concat(parts.map(p => Buffer.from(p))));
      fs.writeFileSync(path.join(folder, 'model.json'), JSON.stringify(rest));
      return {modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}};
    },
  };
}

const tensor = entry => tf.tensor(entry.values, entry.shape, entry.dtype);
const list = value => (Array.isArray(value) ? value : [value]);
const single = value => (value.length === 1 ? value[0] : value);
const plain = t => ({shape: t.shape, values: Array.from(t.dataSync())});

async function run(job) {
  const model = await tf.loadLayersModel(reader(job.folder));
  const inputs = job.inputs.map(tensor);
  const result = {outputs: list(model.predict(single(inputs))).map(plain)};
  if (job.y) {
    const losses = [];
    for (let i = 0; i < 2; ++i) {
      losses.push(list(await model.trainOnBatch(single(inputs), tensor(job.y)))[0]);
    }
    result.losses = losses;
    result.weights = model.getWeights().map(plain);
  }
  if (job.resave) {
    await model.save(writer(job.resave), {includeOptimizer: Boolean(job.y)});
  }
  return result;
}

async function main() {
  await tf.setBackend('cpu');
  await tf.ready();
  const results = {};
  for (const job of request.jobs) {
    try {
      results[job.folder] = await run(job);
    } catch (error) {
      results[job.folder] = {error: String(error.message || error).slice(0, 500)};
    }
  }
  process.stdout.write(JSON.stringify(results));
}

main();
